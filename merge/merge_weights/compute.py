"""From stored input tensors to the bytes of one output tensor: by the chain a piece at a time, by other methods a tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merge_weights.arithmetic import STORAGE, is_finite, merge_stored, narrow, widen
from merge_weights.errors import MergeError
from merge_weights.header import ITEM_BYTES, TensorInfo
from merge_weights.plan import Method
from merge_weights.scratch import buffer
from merge_weights.tensors import OpenFile

CHUNK_ITEMS = 1 << 16
"""Small enough that the float64 copies of a chunk stay in the processor's cache."""

_TASK_ITEMS = 1 << 22

Write = Callable[[int, memoryview], None]
"""Told where in the output, and which bytes."""


@dataclass(frozen=True)
class Job:
    """One output tensor.

    Attributes:
        key: its name.
        files: inputs that take part, in the order of the chain.
        infos: where the tensor lies in each.
        coefficients: one per input after the first. With a single input the tensor is copied.
        out: dtype and shape of the result.
        at: where its bytes begin in the output.
        method: how they are merged.
        has_base: whether the first input is the base.
    """

    key: str
    files: tuple[OpenFile, ...]
    infos: tuple[TensorInfo, ...]
    coefficients: tuple[float, ...]
    out: TensorInfo
    at: int
    method: Method
    has_base: bool

    @property
    def items(self) -> int:
        """Number of elements."""
        return self.out.nbytes // ITEM_BYTES[self.out.dtype]

    def pieces(self) -> Iterator[tuple[int, int]]:
        """First element and number of elements of independent pieces of work."""
        size = _TASK_ITEMS if self._by_chunks() else max(self.items, 1)
        for first in range(0, self.items, size):
            yield first, min(size, self.items - first)

    def run(self, first: int, count: int, write: Write) -> None:
        """Compute a piece and hand it to `write`.

        Raises:
            MergeError: NaN or Inf in an input, or in the result; a file cannot be read.
        """
        if self._by_chunks():
            for start in range(first, first + count, CHUNK_ITEMS):
                done = self._chunk(start, min(CHUNK_ITEMS, first + count - start))
                write(self.at + start * ITEM_BYTES[self.out.dtype], done.view(np.uint8).data)
        else:
            write(self.at, np.ascontiguousarray(self._whole()).reshape(-1).view(np.uint8).data)

    def _by_chunks(self) -> bool:
        return len(self.files) == 1 or self.method.name == "progressive" or not self.has_base

    def _chunk(self, start: int, count: int) -> NDArray[Any]:
        values, dtypes = [], [info.dtype for info in self.infos]
        for index, (file, info) in enumerate(zip(self.files, self.infos, strict=True)):
            size = ITEM_BYTES[info.dtype]
            raw = buffer(("input", index), count * size)
            file.read_into(info.begin + start * size, raw)
            if info.dtype not in STORAGE:
                return raw
            values.append(raw.view(STORAGE[info.dtype]))
            self._check(values[-1], index)
        return merge_stored(values, self.coefficients, dtypes, self.out.dtype)

    def _whole(self) -> NDArray[Any]:
        from merge_weights.methods import METHODS, Options

        values = []
        for index, (file, info) in enumerate(zip(self.files, self.infos, strict=True)):
            stored = file.read(info.begin, info.nbytes).view(STORAGE[info.dtype])
            self._check(stored, index)
            values.append(widen(stored, info.dtype).astype(np.float64).reshape(info.shape))
        options = Options(density=self.method.density, seed=self.method.seed, key=self.key)
        merged = METHODS[self.method.name].apply(values[0], values[1:], self.coefficients, options)
        if not np.isfinite(merged).all():
            raise MergeError(f"{self.method.name} gives NaN or Inf for tensor {self.key}; try other coefficients")
        return narrow(merged, self.out.dtype)

    def _check(self, stored: NDArray[Any], index: int) -> None:
        if not is_finite(stored, self.infos[index].dtype):
            path = self.files[index].path
            raise MergeError(f"tensor {self.key} of {path} has NaN or Inf; this model is broken, merge an earlier checkpoint")
