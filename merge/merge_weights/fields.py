"""Strict reading of values out of YAML: each function returns the value if it is of the right sort, or says what it should be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from fractions import Fraction
from typing import Any

from merge_weights.errors import MergeError


def table(value: object, name: str, known: Sequence[str], needed: Sequence[str] = ()) -> dict[str, Any]:
    """Return a table that has no entry but `known` and all of `needed`, or raise MergeError naming the nearest known entry."""
    if not isinstance(value, dict):
        raise MergeError(f"{name} must be a table with entries such as '{known[0]}: ...', not {value!r}")
    for key in value:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]}? All are" if near else "known are"
            raise MergeError(f"{name} has the unknown entry '{key}'; {hint} {', '.join(known)}")
    if lacking := [key for key in needed if key not in value]:
        raise MergeError(f"{name} lacks {', '.join(lacking)}; add it")
    return value


def entries(value: object, name: str) -> list[Any]:
    """Return a list, or raise MergeError."""
    if not isinstance(value, list):
        raise MergeError(f"{name} must be a list ('- ...' lines), not {value!r}")
    return value


def text(value: object, name: str) -> str:
    """Return a text that is not empty, or raise MergeError."""
    if not isinstance(value, str) or not value:
        raise MergeError(f"{name} must be a text, not {value!r}; put it in quotes")
    return value


def choice(value: object, name: str, choices: Sequence[str]) -> str:
    """Return one of `choices`, or raise MergeError."""
    if value not in choices:
        raise MergeError(f"{name} is {value!r}, but must be one of {', '.join(choices)}")
    return str(value)


def flag(value: object, name: str) -> bool:
    """Return true or false, or raise MergeError."""
    if not isinstance(value, bool):
        raise MergeError(f"{name} must be true or false, not {value!r}")
    return value


def whole(value: object, name: str) -> int:
    """Return a whole number, or raise MergeError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise MergeError(f"{name} must be a whole number, not {value!r}")
    return value


def number(value: object, name: str) -> float:
    """Return a finite number, or raise MergeError; "1/6" is one, because shares of a chain rarely have a short decimal form."""
    found = math.nan
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            found = float(Fraction(value)) if isinstance(value, str) else float(value)
        except (ValueError, ZeroDivisionError, OverflowError):
            found = math.nan
    if not math.isfinite(found):
        raise MergeError(f"{name} must be a number or a fraction such as 1/6, not {value!r}")
    return found
