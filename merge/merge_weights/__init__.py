"""Merge the weights of one base model and its fine-tuned branches: a tool of its own, numpy only, no torch.

Names are imported on first use, so that `merge-weights --help` answers without numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from merge_weights.arithmetic import merge_tensor
    from merge_weights.chain import Step
    from merge_weights.errors import MergeError
    from merge_weights.plan import Plan
    from merge_weights.run import merge

__version__ = "0.1.0"
__all__ = ["MergeError", "Plan", "Step", "merge", "merge_tensor"]

_HOME = {"MergeError": "errors", "Plan": "plan", "Step": "chain", "merge": "run", "merge_tensor": "arithmetic"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the type depends on the name
    """Import a public name from the module that defines it."""
    if name not in _HOME:
        raise AttributeError(f"module 'merge_weights' has no attribute '{name}'")
    return getattr(importlib.import_module(f"merge_weights.{_HOME[name]}"), name)
