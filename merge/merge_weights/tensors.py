"""Tensor bytes on disk, a chunk at a time: read, compare, merge. Files are opened for reading only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merge_weights.arithmetic import STORAGE, is_finite, merge_stored
from merge_weights.errors import MergeError
from merge_weights.header import TensorInfo

CHUNK_BYTES = 1 << 20
"""Small enough that the float64 copies of a chunk stay in the processor's cache; a multiple of every item size."""

Advance = Callable[[int], None]
"""Told how many bytes were done since the last call."""


@dataclass(frozen=True)
class OpenFile:
    """A file opened for reading."""

    path: Path
    descriptor: int

    def read(self, offset: int, count: int) -> NDArray[np.uint8]:
        """Return `count` bytes from `offset`.

        Raises:
            MergeError: the file cannot be read, or is shorter than it was.
        """
        buffer = np.empty(count, np.uint8)
        done = 0
        while done < count:
            try:
                got = os.preadv(self.descriptor, [buffer.data[done:]], offset + done)
            except OSError as error:
                raise MergeError(f"cannot read {self.path}: {error.strerror}") from error
            if got == 0:
                raise MergeError(f"{self.path} became shorter while it was read; is something still writing it?")
            done += got
        return buffer


@contextmanager
def open_files(paths: Sequence[Path]) -> Iterator[list[OpenFile]]:
    """Open files for reading and close them in the end.

    Raises:
        MergeError: one cannot be opened.
    """
    with ExitStack() as stack:
        files = []
        for path in paths:
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise MergeError(f"cannot read {path}: {error.strerror}") from error
            stack.callback(os.close, descriptor)
            files.append(OpenFile(path, descriptor))
        yield files


def _chunks(nbytes: int) -> Iterator[tuple[int, int]]:
    for offset in range(0, nbytes, CHUNK_BYTES):
        yield offset, min(CHUNK_BYTES, nbytes - offset)


def equal_bytes(files: Sequence[OpenFile], infos: Sequence[TensorInfo]) -> bool:
    """Tell whether a tensor has the same bytes in every file; stops at the first chunk that differs."""
    for offset, count in _chunks(infos[0].nbytes):
        first, *others = (file.read(info.begin + offset, count) for file, info in zip(files, infos, strict=True))
        if not all(np.array_equal(first, other) for other in others):
            return False
    return True


def merged_chunks(
    key: str, files: Sequence[OpenFile], infos: Sequence[TensorInfo], coefficients: Sequence[float]
) -> Iterator[NDArray[Any]]:
    """Yield the bytes of one merged tensor, a chunk at a time.

    Args:
        key: name of the tensor, for messages.
        files: one per input, in the order of the chain.
        infos: where the tensor lies in each file; equal dtypes and shapes.
        coefficients: one per file after the first. With a single file the tensor is copied.

    Raises:
        MergeError: NaN or Inf in any input.
    """
    dtype = infos[0].dtype
    for offset, count in _chunks(infos[0].nbytes):
        raw = [file.read(info.begin + offset, count) for file, info in zip(files, infos, strict=True)]
        if dtype not in STORAGE:
            yield raw[0]
            continue
        values = [chunk.view(STORAGE[dtype]) for chunk in raw]
        for file, piece in zip(files, values, strict=True):
            if not is_finite(piece, dtype):
                raise MergeError(f"tensor {key} of {file.path} has NaN or Inf; this model is broken, merge an earlier checkpoint")
        yield merge_stored(values, coefficients, dtype)


def sha256_of(file: OpenFile, nbytes: int, advance: Advance) -> str:
    """Return the SHA-256 of a file of `nbytes` bytes, in hexadecimal."""
    digest = hashlib.sha256()
    for offset, count in _chunks(nbytes):
        digest.update(file.read(offset, count).data)
        advance(count)
    return digest.hexdigest()
