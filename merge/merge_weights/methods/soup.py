"""Model soups: the plain mean of the branches, and the greedy choice of which to average."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from merge_weights.errors import MergeError
from merge_weights.methods.linear import linear
from merge_weights.methods.options import Array, Options, check_density, check_inputs


def soup(base: Array, branches: Sequence[Array], coefficients: Sequence[float], options: Options) -> Array:
    """Average all branches with equal weight: the uniform soup of Wortsman et al. 2022 (arXiv 2203.05482).

    Args:
        base: ignored, except for its shape.
        branches: float64, any shape, the same for all.
        coefficients: the same number above 0 for all branches.
        options: none is taken.

    Returns:
        A new float64 array of that shape.

    Raises:
        MergeError: coefficients that differ or are not above 0, or a density.
    """
    check_inputs("soup", base, branches, coefficients)
    check_density("soup", options.density, taken=False)
    if len(set(coefficients)) > 1 or coefficients[0] <= 0:
        raise MergeError("soup weighs all branches alike: give each the coefficient 1, leave branches out, or use linear for weights")
    return linear(base, branches, [1.0] * len(branches), options)


@dataclass(frozen=True)
class Trial:
    """One scored soup: its branches in the order of being added, the score, and whether it became the best so far."""

    names: tuple[str, ...]
    score: float
    kept: bool


@dataclass(frozen=True)
class Greedy:
    """A greedy soup: the branches chosen, in the order of being added, and the trials in order."""

    chosen: tuple[str, ...]
    trail: tuple[Trial, ...]


def greedy(names: Sequence[str], score: Callable[[tuple[str, ...]], float]) -> Greedy:
    """Choose branches by the greedy recipe (recipe 1 of arXiv 2203.05482).

    Branches are tried from the best score to the worst, equals in the order given; each stays if the soup does not score worse with it.

    Args:
        names: of the branches, all different.
        score: of the uniform soup of some branches on held-out data, which is not the test data; higher is better. Called 2 n - 1 times.

    Raises:
        MergeError: no names, a name twice, or a score that is no finite number.
    """
    if not names or len(set(names)) < len(names):
        raise MergeError(f"a greedy soup needs branches with different names, not {list(names)}")

    def checked(subset: tuple[str, ...]) -> float:
        if not math.isfinite(value := float(score(subset))):
            raise MergeError(f"the soup of {', '.join(subset)} has the score {value}; mend the evaluation, or leave a branch out")
        return value

    single = {name: checked((name,)) for name in names}
    first, *others = sorted(names, key=lambda name: -single[name])
    trail = [best := Trial((first,), single[first], kept=True)]
    for name in others:
        value = checked((*best.names, name))
        trail.append(Trial((*best.names, name), value, kept=value >= best.score))
        best = trail[-1] if trail[-1].kept else best
    return Greedy(best.names, tuple(trail))
