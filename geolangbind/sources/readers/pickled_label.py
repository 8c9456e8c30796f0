"""The label inside the attribute `pickle` of GEO-Bench's files, found without unpickling.

The attribute is the text of a Python bytes literal; the bytes are a pickle of `{"label": ..., "<band>": {...}, ...}`. Unpickling would run
what the file says. Here `pickletools` takes the bytes apart into opcodes, and the few that build plain values are followed with lists and
tuples: what would import or call something becomes an inert tuple. A label that is no whole number, list or array of them is refused.
"""

from __future__ import annotations

import ast
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from geolangbind.errors import DataError

_PLAIN = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES")
_CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "STACK_GLOBAL": 2, "REDUCE": 2, "NEWOBJ": 2, "BUILD": 2}
"""Opcodes that join the last values; those that would import, call or fill an object do nothing else here."""
_INTEGERS = ("b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8")
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_MARK = object()


def pickled_label(attribute: object) -> tuple[int, ...]:
    """Return the label: one class number, or for several classes 1 or 0 for each.

    Args:
        attribute: the attribute's value.

    Raises:
        DataError: it is no such text, has no label, or one of another kind.
    """
    try:
        data = ast.literal_eval(attribute) if isinstance(attribute, str) else None
        if not isinstance(data, bytes):
            raise DataError("its attribute 'pickle' is no bytes literal")
        return _integers(_followed(data)["label"])
    except (ValueError, SyntaxError, LookupError, TypeError, AttributeError, MemoryError, RecursionError) as error:
        raise DataError(
            f"its attribute 'pickle' has no label that can be read without unpickling: {type(error).__name__} {error}"
        ) from None


def _followed(data: bytes) -> Any:  # noqa: ANN401 - of any shape
    """Return what the opcodes of a pickle of protocol 4 build."""
    stack: list[Any] = []
    memo: list[Any] = []
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name in _PLAIN:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            start = len(stack) - _TUPLES[name]
            stack[start:] = [tuple(stack[start:])]
        elif name in _BUILDERS:
            _BUILDERS[name](stack)
        elif name == "MEMOIZE":
            memo.append(stack[-1])
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument or 0)])
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise DataError(f"its attribute 'pickle' uses {name}, which is not followed")
    return stack[-1]


def _marked(stack: list[Any]) -> list[Any]:
    """Take the last mark and what lies above it off the stack."""
    start = next((number for number in reversed(range(len(stack))) if stack[number] is _MARK), None)
    if start is None:
        raise DataError("its attribute 'pickle' is damaged")
    taken = stack[start + 1 :]
    del stack[start:]
    return taken


def _fill_dict(stack: list[Any], taken: list[Any]) -> None:
    stack[-1].update(zip(taken[::2], taken[1::2], strict=True))


def _fill_list(stack: list[Any], taken: list[Any]) -> None:
    stack[-1].extend(taken)


_BUILDERS: Mapping[str, Callable[[list[Any]], None]] = {
    "EMPTY_DICT": lambda stack: stack.append({}),
    "EMPTY_LIST": lambda stack: stack.append([]),
    "MARK": lambda stack: stack.append(_MARK),
    "TUPLE": lambda stack: stack.append(tuple(_marked(stack))),
    "SETITEM": lambda stack: _fill_dict(stack, [stack.pop(-2), stack.pop()]),
    "SETITEMS": lambda stack: _fill_dict(stack, _marked(stack)),
    "APPEND": lambda stack: _fill_list(stack, [stack.pop()]),
    "APPENDS": lambda stack: _fill_list(stack, _marked(stack)),
}


def _integers(value: object) -> tuple[int, ...]:
    match value:
        case int():
            return (int(value),)
        case list() if all(isinstance(number, int) for number in value):
            return tuple(map(int, value))
        case ((module, "scalar"), (kind, bytes(data))) if module in _NUMPY:
            return (int(np.frombuffer(data, _dtype(kind), count=1)[0]),)
        case (((module, "_reconstruct"), _), (1, (int(count),), kind, False, bytes(data))) if module in _NUMPY:
            return tuple(map(int, np.frombuffer(data, _dtype(kind), count=count)))
    raise DataError("its label is neither a whole number nor a list of them")


def _dtype(kind: object) -> np.dtype[Any]:
    match kind:
        case ((("numpy", "dtype"), (str(name), False, True)), (3, ("<" | "|") as order, *_)) if name in _INTEGERS:
            return np.dtype(f"{order}{name}")
    raise DataError("its label is no array of whole numbers")
