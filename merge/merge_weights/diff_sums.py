"""Sums over the numbers of one tensor in two models and their base, a few thousand at a time and in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from merge_weights.arithmetic import STORAGE, widen
from merge_weights.errors import MergeError
from merge_weights.header import ITEM_BYTES, TensorInfo
from merge_weights.inputs import Source
from merge_weights.tensors import OpenFile, equal_bytes

_CHUNK = 1 << 15
"""Numbers compared at a time: their float64 copies stay in the processor's cache."""


class Sums(NamedTuple):
    """Sums over one tensor, or a piece of it. a = first - base, b = second - base.

    Attributes:
        parameters: how many numbers.
        differing: in how many of them the second differs from the first.
        first_squares: sum of the squares of the first.
        distance_squares: of second - first.
        base_squares: of the base; like what follows, 0 without one.
        a_squares: of a.
        b_squares: of b.
        a_times_b: sum of the products.
        both_moved: how many numbers are zero neither in a nor in b.
        conflicts: how many of those have opposite signs.
    """

    parameters: float = 0
    differing: float = 0
    first_squares: float = 0
    distance_squares: float = 0
    base_squares: float = 0
    a_squares: float = 0
    b_squares: float = 0
    a_times_b: float = 0
    both_moved: float = 0
    conflicts: float = 0


def compare(key: str, sources: Sequence[Source], files: Sequence[OpenFile], infos: Sequence[TensorInfo]) -> tuple[str, Sums]:
    """Compare one tensor of two models, and of their base where it has the tensor.

    Args:
        key: its name, for messages.
        sources: first, second and perhaps the base.
        files: the same, opened.
        infos: where the tensor lies in each. Floats may differ in dtype.

    Returns:
        What keeps the tensor from being compared ("" if nothing), and its sums. Equal whole numbers count as parameters only.

    Raises:
        MergeError: NaN or Inf, or a file that cannot be read.
    """
    floats = all(info.dtype in STORAGE for info in infos)
    if len({info.shape for info in infos}) > 1 or (len({info.dtype for info in infos}) > 1 and not floats):
        return ", ".join(f"{source.role} {info.dtype} {list(info.shape)}" for source, info in zip(sources, infos, strict=True)), Sums()
    count = math.prod(infos[0].shape)
    if not floats:
        return ("", Sums(count)) if equal_bytes(files, infos) else (f"{infos[0].dtype} values differ", Sums())
    pieces = [Sums()]
    for begin in range(0, count, _CHUNK):
        values = [_values(file, info, begin, min(_CHUNK, count - begin)) for file, info in zip(files, infos, strict=True)]
        pieces.append(_sums(*values))
        if not all(map(math.isfinite, pieces[-1])):
            broken = next((source for source, one in zip(sources, values, strict=True) if not np.isfinite(one).all()), None)
            if broken is None:
                raise MergeError(f"tensor {key} holds numbers too large to compare (their squares overflow float64)")
            raise MergeError(f"tensor {key} of {broken.weights.path} has NaN or Inf; this model is broken, compare an earlier checkpoint")
    return "", add(pieces)


def add(pieces: Sequence[Sums]) -> Sums:
    """Add sums of pieces or tensors, each with a single rounding, so that their order does not matter."""
    return Sums(*map(math.fsum, zip(*pieces, strict=True)))


def _values(file: OpenFile, info: TensorInfo, begin: int, count: int) -> NDArray[np.float64]:
    """Read `count` numbers of a tensor from number `begin` on."""
    size = ITEM_BYTES[info.dtype]
    stored = file.read(info.begin + begin * size, count * size).view(STORAGE[info.dtype])
    return widen(stored, info.dtype).astype(np.float64, copy=False)


def _sums(first: NDArray[np.float64], second: NDArray[np.float64], base: NDArray[np.float64] | None = None) -> Sums:
    with np.errstate(over="ignore", invalid="ignore"):  # the caller looks at the sums
        apart = second - first
        of_two = (first.size, int(np.count_nonzero(apart)), float(first @ first), float(apart @ apart))
        if base is None:
            return Sums(*of_two)
        a, b = first - base, second - base
        # by sign and not by the product, which can underflow
        both_moved = (a != 0) & (b != 0)
        opposite = both_moved & (np.signbit(a) != np.signbit(b))
        squares = (float(base @ base), float(a @ a), float(b @ b))
        return Sums(*of_two, *squares, float(a @ b), int(np.count_nonzero(both_moved)), int(np.count_nonzero(opposite)))
