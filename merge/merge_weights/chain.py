"""A merge as a chain of steps, each with one coefficient, or one per part of the model. No numpy here.

theta_0 = base; theta_i = theta_(i-1) + m_i (source_i - theta_(i-1)). Two steps with m1 and m2 are the paper's merge.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from merge_weights.errors import MergeError

PathLike = str | os.PathLike[str]

PARTS: dict[str, tuple[str, ...]] = {
    "generator": ("vision.patch_embed.", "vision.routes."),
    "blocks": ("vision.blocks.",),
    "pooling": ("vision.attn_pool.",),
    "stem": ("vision.stem.",),
    "rest": ("",),
}
"""Parts of the model that can have their own coefficient, by the start of the tensor's name; the first match counts."""

HEADS_PREFIX = "maka."
"""Projectors towards the teachers: used in training only, so a merge drops them unless told otherwise."""


def part_of(key: str) -> str:
    """Return the part that the tensor named `key` belongs to."""
    return next(part for part, prefixes in PARTS.items() if key.startswith(prefixes))


def check_finite(value: float, name: str) -> float:
    """Return `value` if it is a finite number; `name` is used in the message.

    Raises:
        MergeError: it is NaN or infinite.
    """
    if not math.isfinite(value):
        raise MergeError(f"{name} is {value}; a coefficient is a finite number")
    return float(value)


def check_coefficient(value: float, name: str) -> float:
    """Return `value` if it lies in [0, 1]; `name` is used in the message.

    Raises:
        MergeError: it lies outside, or is NaN.
    """
    if not 0 <= value <= 1:
        raise MergeError(f"{name} is {value}, but a merge coefficient lies between 0 (keep what is there) and 1 (take the new weights)")
    return float(value)


@dataclass(frozen=True)
class Step:
    """One step of the chain.

    Attributes:
        name: role of the source ("rgb"), used in the plan and in the model card.
        source: run folder, model folder or `.safetensors` file.
        coefficient: how far to move from the weights so far towards the source, 0 to 1; other methods than the chain read it as they
            document.
        part_coefficients: coefficients of single parts (`PARTS`), instead of `coefficient`.
    """

    name: str
    source: PathLike
    coefficient: float
    part_coefficients: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_finite(self.coefficient, f"the coefficient of {self.name}")
        for part, value in self.part_coefficients.items():
            if part not in PARTS:
                raise MergeError(f"unknown part '{part}'; parts are {', '.join(PARTS)}")
            check_finite(value, f"the coefficient of {self.name} for {part}")

    def check_range(self) -> None:
        """Refuse coefficients outside [0, 1], which only the chain needs; other methods extrapolate.

        Raises:
            MergeError: one lies outside.
        """
        check_coefficient(self.coefficient, f"the coefficient of {self.name}")
        for part, value in self.part_coefficients.items():
            check_coefficient(value, f"the coefficient of {self.name} for {part}")

    def coefficient_for(self, part: str) -> float:
        """Return the coefficient that holds for `part`."""
        return self.part_coefficients.get(part, self.coefficient)


def make_steps(steps: Sequence[Step | tuple[PathLike, float]], parts: Mapping[str, Sequence[float]] | None = None) -> tuple[Step, ...]:
    """Turn (path, coefficient) pairs into steps named after their folders; steps pass through unchanged.

    Args:
        steps: in the order in which they are applied.
        parts: per part one coefficient for each step; `steps` must then be pairs.

    Raises:
        MergeError: no steps, an unknown part, a wrong number of coefficients, or `parts` together with a `Step`.
    """
    if not steps:
        raise MergeError("nothing to merge: give at least one step (path, coefficient)")
    for part, values in (parts or {}).items():
        if len(values) != len(steps):
            raise MergeError(f"part '{part}' has {len(values)} coefficients, but there are {len(steps)} steps")
    made: list[Step] = []
    for index, step in enumerate(steps):
        if not isinstance(step, Step):
            path, coefficient = step
            step = Step(_role(path, made), path, coefficient, {part: values[index] for part, values in (parts or {}).items()})
        elif parts:
            raise MergeError("give part coefficients either in the steps or in `parts`, not in both")
        made.append(step)
    return tuple(made)


def _role(path: PathLike, taken: Sequence[Step]) -> str:
    """Name a source after its run folder or file, with a number where that name is taken."""
    place = Path(path)
    name = (place.parent.name if place.name in ("model", "model.safetensors") else place.stem) or "step"
    count = sum(step.name == name or step.name.startswith(f"{name}-") for step in taken)
    return f"{name}-{count + 1}" if count else name


def reduce_chain(coefficients: Sequence[float]) -> tuple[int, tuple[tuple[int, float], ...]]:
    """Leave out what cannot matter, so that coefficients 0 and 1 give the endpoints exactly.

    Args:
        coefficients: one per step; inputs are counted from the base (0), so step i moves towards input i + 1.

    Returns:
        The input to start from (the last with coefficient 1, else the base), and (input, coefficient) of the steps still to do.
    """
    start = max((index for index, value in enumerate(coefficients, start=1) if value == 1), default=0)
    rest = tuple((index, value) for index, value in enumerate(coefficients, start=1) if index > start and value != 0)
    return start, rest
