"""The grid of merge coefficients: how it is typed, and which of its points are the same merge. No torch here."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from geolangbind.errors import SettingsError
from merge_weights.chain import PARTS, reduce_chain

GENERATORS = ("average", "last")
"""What happens to the kernel generator: averaged like all other weights, or taken from the last branch."""

_MOST_VALUES = 1001


class Pair(NamedTuple):
    """Coefficients of the merge base + m1 (rgb - base), then + m2 (others - that)."""

    m1: float
    m2: float


PUBLISHED = Pair(0.9, 0.5)
"""The coefficients of arXiv 2503.06312."""


def parse_grid(text: str, option: str) -> tuple[float, ...]:
    """Read the values of one coefficient.

    Args:
        text: `start:stop:step`, both ends included, or numbers separated by commas.
        option: the option's name, for messages.

    Returns:
        Ascending values in [0, 1], each the float64 nearest to its decimal: 0.3, and not three times 0.1.

    Raises:
        SettingsError: not of this form, outside [0, 1], a stop that no step meets, or a value given twice.
    """
    try:
        values = _steps(text, option) if ":" in text else [Decimal(part.strip()) for part in text.split(",")]
    except InvalidOperation:
        raise SettingsError(f"{option} takes start:stop:step (0:1:0.1) or numbers (0.5,0.75,0.9); got '{text}'") from None
    if wrong := [str(value) for value in values if not (value.is_finite() and 0 <= value <= 1)]:
        raise SettingsError(f"{option} {text}: {', '.join(wrong[:3])} lies outside 0 to 1, and merge coefficients do not")
    found = sorted(float(abs(value)) for value in values)  # abs: -0 is 0
    if len(set(found)) < len(found):
        raise SettingsError(f"{option} {text} names a value twice")
    return tuple(found)


def _steps(text: str, option: str) -> list[Decimal]:
    parts = text.split(":")
    if len(parts) != 3:
        raise SettingsError(f"{option} takes start:stop:step, for example 0:1:0.1; got '{text}'")
    start, stop, step = (Decimal(part.strip()) for part in parts)
    if not all(number.is_finite() for number in (start, stop, step)) or step <= 0 or stop < start:
        raise SettingsError(f"{option} {text}: start must not lie above stop, and the step must be positive")
    if (stop - start) / step >= _MOST_VALUES:
        raise SettingsError(f"{option} {text} has more than {_MOST_VALUES} values; take a larger step")
    if (stop - start) % step:
        last = start + (stop - start) // step * step
        raise SettingsError(f"{option} {text}: steps of {step} from {start} do not meet {stop}; write {start}:{last}:{step}")
    return [start + index * step for index in range(int((stop - start) / step) + 1)]


def part_coefficients(pair: Pair, generator: str) -> dict[str, Pair]:
    """Coefficients of every part of the model (`merge_weights.chain.PARTS`) at one point of the grid."""
    own = {"generator": Pair(pair.m1, 1.0)} if generator == "last" else {}
    return {part: own.get(part, pair) for part in PARTS}


def same_merges(pairs: Iterable[Pair], parts: Iterable[str], generator: str) -> dict[Pair, Pair]:
    """Find the points that give the same weights: where m2 is 1 nothing is left of what m1 did.

    Args:
        pairs: points, in the order in which they are computed.
        parts: the parts whose weights differ between the models.
        generator: one of `GENERATORS`.

    Returns:
        For every point the first one with the same weights, often itself.
    """
    kept = tuple(parts)
    first: dict[object, Pair] = {}
    found: dict[Pair, Pair] = {}
    for pair in pairs:
        chains = part_coefficients(pair, generator)
        found[pair] = first.setdefault(tuple(reduce_chain(chains[part]) for part in kept), pair)
    return found
