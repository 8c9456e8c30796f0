"""Linear: the weighted mean of the branches."""

from __future__ import annotations

from collections.abc import Sequence

from merge_weights.errors import MergeError
from merge_weights.methods.options import Array, Options, check_density, check_inputs, check_not_negative


def linear(base: Array, branches: Sequence[Array], coefficients: Sequence[float], options: Options) -> Array:
    """Average the branches: sum_i w_i theta_i / sum_i w_i.

    Only the proportions of the coefficients count. Two branches weighted 1 - t and t give lerp; to give the base a share, name it
    among the branches. Equal branches, and one branch with all the weight, come out bit for bit. Equal weights are the uniform soup of
    Wortsman et al. 2022 (arXiv 2203.05482).

    Args:
        base: ignored, except for its shape.
        branches: float64, any shape, the same for all.
        coefficients: weights, 0 or more and not all 0.
        options: none is taken.

    Returns:
        A new float64 array of that shape.

    Raises:
        MergeError: impossible coefficients, or a density.
    """
    check_inputs("linear", base, branches, coefficients)
    check_density("linear", options.density, taken=False)
    check_not_negative("linear", coefficients)
    weighted = [(branch, weight) for branch, weight in zip(branches, coefficients, strict=True) if weight > 0]
    if not weighted:
        raise MergeError("linear: all coefficients are 0, so there is no mean; give at least one branch a weight above 0")
    first, total = weighted[0]
    mean = first.copy()
    # the running mean instead of a sum and a division: what all branches agree on is never rounded (subtracted, so that -0.0 stays too)
    for branch, weight in weighted[1:]:
        total += weight
        mean -= (mean - branch) * (weight / total)
    return mean
