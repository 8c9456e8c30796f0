"""Merging methods: each a function of one tensor, with its paper. The progressive chain is not here, it is `arithmetic.merge_stored`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from merge_weights.errors import MergeError
from merge_weights.methods.dare import dare
from merge_weights.methods.linear import linear
from merge_weights.methods.options import Array, Options
from merge_weights.methods.slerp import slerp
from merge_weights.methods.soup import Greedy, Trial, greedy, soup
from merge_weights.methods.task_arithmetic import task_arithmetic
from merge_weights.methods.ties import ties

__all__ = ["METHODS", "Array", "Greedy", "Method", "Options", "Trial", "check_method", "greedy"]


@dataclass(frozen=True)
class Method:
    """A way to merge one tensor.

    Attributes:
        apply: (base, branches, coefficients, options) -> merged; float64, one shape; the inputs stay as they are.
        paper: where it comes from.
        summary: one line for people.
        needs_base: False where the values of the base do not matter.
        takes: the options that it takes, beside the coefficients.
    """

    apply: Callable[[Array, Sequence[Array], Sequence[float], Options], Array]
    paper: str
    summary: str
    needs_base: bool = True
    takes: tuple[str, ...] = ()


METHODS: dict[str, Method] = {
    "linear": Method(linear, "arXiv 2203.05482", "weighted mean of the branches; the weights need not add up to 1", needs_base=False),
    "task_arithmetic": Method(task_arithmetic, "arXiv 2212.04089", "base plus scaled differences of the branches from it"),
    "ties": Method(ties, "arXiv 2306.01708", "differences trimmed to the largest, those of the stronger sign averaged", takes=("density",)),
    "dare": Method(dare, "arXiv 2311.03099", "task arithmetic on a random share of the differences, scaled up", takes=("density", "seed")),
    "slerp": Method(slerp, "Shoemake 1985", "along the great circle from the base to one branch"),
    "soup": Method(soup, "arXiv 2203.05482", "plain mean of the branches", needs_base=False),
}


def check_method(name: str, coefficients: Sequence[float], options: Options) -> Method:
    """Return a method after checking that it can work with these coefficients and options; no tensor is read for that.

    Raises:
        MergeError: unknown method, or coefficients or options that it refuses.
    """
    if name not in METHODS:
        raise MergeError(f"unknown method '{name}'; methods are progressive, {', '.join(METHODS)}")
    nothing = np.empty(0)
    METHODS[name].apply(nothing, [nothing] * len(coefficients), coefficients, options)
    return METHODS[name]
