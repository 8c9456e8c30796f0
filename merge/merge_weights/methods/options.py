"""What the methods share: their options, and the checks of coefficients that come before any arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merge_weights.errors import MergeError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """What a method is told beside tensors and coefficients.

    Attributes:
        density: share of every task vector's elements that TIES and DARE keep, above 0, at most 1.
        seed: of DARE's random choice.
        key: name of the tensor, from which DARE draws too.
    """

    density: float = 1.0
    seed: int = 0
    key: str = ""


def check_inputs(method: str, base: NDArray[Any], branches: Sequence[NDArray[Any]], coefficients: Sequence[float]) -> None:
    """Refuse inputs that no method can merge.

    Raises:
        MergeError: no branch, another number of coefficients, shapes that differ, or a coefficient that is no finite number.
    """
    if not branches:
        raise MergeError(f"{method} has nothing to merge: give at least one branch")
    if len(branches) != len(coefficients):
        raise MergeError(f"{method} has {len(branches)} branches but {len(coefficients)} coefficients; give one for each")
    for index, (branch, coefficient) in enumerate(zip(branches, coefficients, strict=True), start=1):
        if branch.shape != base.shape:
            raise MergeError(f"{method}: branch {index} has shape {list(branch.shape)}, not {list(base.shape)}; merge one architecture")
        if not math.isfinite(coefficient):
            raise MergeError(f"{method}: the coefficient of branch {index} is {coefficient}; give a finite number")


def check_not_negative(method: str, coefficients: Sequence[float]) -> None:
    """Refuse coefficients below 0.

    Raises:
        MergeError: there is one.
    """
    if min(coefficients) < 0:
        raise MergeError(f"{method} has the coefficient {min(coefficients)}; give 0 or more, or use task_arithmetic, which can subtract")


def check_density(method: str, density: float, *, taken: bool) -> None:
    """Refuse a density that is impossible, or that the method would ignore.

    Raises:
        MergeError: it lies outside (0, 1], or the method keeps everything and `density` is not 1.
    """
    if not 0 < density <= 1:
        raise MergeError(f"density is {density}, but it is the share of each task vector that is kept: above 0, at most 1")
    if density != 1 and not taken:
        raise MergeError(f"{method} takes no density ({density} given); leave it out, or use ties or dare")
