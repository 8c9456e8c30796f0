"""Task arithmetic: the base plus scaled differences of the branches from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from merge_weights.methods.options import Array, Options, check_density, check_inputs


def task_arithmetic(base: Array, branches: Sequence[Array], coefficients: Sequence[float], options: Options) -> Array:
    """Add task vectors: base + sum_i lambda_i (theta_i - base), after Ilharco et al. 2023 (arXiv 2212.04089).

    All differences are taken from the base, whereas the progressive chain takes each from the weights so far. A negative coefficient
    takes away what a branch learnt (their "forgetting via negation").

    Args:
        base: float64, any shape.
        branches: float64, that shape.
        coefficients: lambda_i, any finite number.
        options: none is taken.

    Returns:
        A new float64 array of that shape.

    Raises:
        MergeError: impossible coefficients, or a density.
    """
    check_inputs("task_arithmetic", base, branches, coefficients)
    check_density("task_arithmetic", options.density, taken=False)
    change = np.zeros(base.shape)
    for branch, scale in zip(branches, coefficients, strict=True):
        change += scale * (branch - base)
    change += base
    return change
