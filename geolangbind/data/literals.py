"""Numbers written as Python literals, as the published GeoLangBind shards hold them. Never run: the published loader calls `eval`."""

from __future__ import annotations

import ast
import math

from geolangbind.errors import DataError

Numbers = float | list["Numbers"]

_MAX_CHARACTERS = 1 << 14  # 202 wavelengths take 4,000
_MAX_DEPTH = 4
_ALLOWED = frozenset("0123456789+-.eE,[]() \t\r\n")


def parse_numbers(data: bytes, name: str) -> Numbers:
    """Return the number, or the nested list of numbers, that a text holds.

    Args:
        data: numbers in lists or tuples (`[0.665, 0.56]`, `(9.1, 48.7)`), at most four deep and 16,384 characters long.
        name: of the member, for the message.

    Raises:
        DataError: anything else.
    """
    text = data[:_MAX_CHARACTERS].decode("ascii", errors="replace").strip()
    depth = deepest = 0
    for character in text:
        depth += (character in "[(") - (character in "])")
        deepest = max(deepest, depth)
    # looked at before Python's parser sees it: with these characters and depth there is nothing that could be slow or do harm
    if len(data) <= _MAX_CHARACTERS and set(text) <= _ALLOWED and deepest <= _MAX_DEPTH and "--" not in text and "++" not in text:
        try:
            return _checked(ast.literal_eval(text))
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
            pass
    raise DataError(f"{name} must be finite numbers in lists or tuples, at most {_MAX_DEPTH} deep; it is {text[:60]!a}, which is not run")


def _checked(value: object) -> Numbers:
    if isinstance(value, list | tuple):
        return [_checked(item) for item in value]
    if type(value) not in (int, float) or not math.isfinite(number := float(value)):  # type: ignore[arg-type]
        raise ValueError
    return number
