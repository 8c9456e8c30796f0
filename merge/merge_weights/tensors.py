"""Tensor bytes on disk: read, compare, hash. Files are opened for reading only, and read into buffers that are used again."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merge_weights.arithmetic import STORAGE
from merge_weights.errors import MergeError
from merge_weights.header import TensorInfo, WeightsFile
from merge_weights.scratch import buffer

CHUNK_BYTES = 1 << 18
"""Small enough that the float64 copies of a chunk stay in the processor's cache; a multiple of every item size."""

_HASHED_BYTES = 1 << 20
_GLANCE_BYTES = 1 << 12

Advance = Callable[[int], None]
"""Told how many bytes were done since the last call."""


@dataclass(frozen=True)
class OpenFile:
    """Weights opened for reading: one file, or shards as if they were one.

    Attributes:
        path: the file, or the index of the shards.
        starts: where each shard begins.
        descriptors: of each shard.
    """

    path: Path
    starts: tuple[int, ...]
    descriptors: tuple[int, ...]

    def read_into(self, offset: int, target: NDArray[np.uint8]) -> None:
        """Fill `target` with the bytes from `offset`.

        Raises:
            MergeError: the file cannot be read, or is shorter than it was.
        """
        done, view = 0, target.data
        while done < target.nbytes:
            part = bisect_right(self.starts, offset + done) - 1
            end = self.starts[part + 1] - offset if part + 1 < len(self.starts) else target.nbytes
            try:
                got = os.preadv(self.descriptors[part], [view[done:end]], offset + done - self.starts[part])
            except OSError as error:
                raise MergeError(f"cannot read {self.path}: {error.strerror}") from error
            if got == 0:
                raise MergeError(f"{self.path} became shorter while it was read; is something still writing it?")
            done += got

    def read(self, offset: int, count: int) -> NDArray[np.uint8]:
        """Return `count` bytes from `offset` in a new array; fails as `read_into` does."""
        target = np.empty(count, np.uint8)
        self.read_into(offset, target)
        return target


@contextmanager
def open_files(weights: Sequence[WeightsFile | Path]) -> Iterator[list[OpenFile]]:
    """Open weights for reading and close them in the end.

    Raises:
        MergeError: a file cannot be opened.
    """
    with ExitStack() as stack:
        files = []
        for one in weights:
            path, parts = (one, ((one, 0),)) if isinstance(one, Path) else (one.path, one.parts)
            starts = [0]
            for _, nbytes in parts:
                starts.append(starts[-1] + nbytes)
            descriptors = []
            for place, _ in parts:
                try:
                    descriptors.append(os.open(place, os.O_RDONLY))
                except OSError as error:
                    raise MergeError(f"cannot read {place}: {error.strerror}") from error
                stack.callback(os.close, descriptors[-1])
            files.append(OpenFile(path, tuple(starts[:-1]), tuple(descriptors)))
        yield files


def chunks(nbytes: int, size: int = CHUNK_BYTES) -> Iterator[tuple[int, int]]:
    """Offsets and lengths of the pieces of `nbytes` bytes."""
    for offset in range(0, nbytes, size):
        yield offset, min(size, nbytes - offset)


def read_stored(file: OpenFile, info: TensorInfo) -> NDArray[Any]:
    """Read a whole tensor in its stored dtype (bfloat16 as uint16), in its shape.

    Raises:
        MergeError: the file cannot be read, or the dtype is none that can be averaged.
    """
    if info.dtype not in STORAGE:
        raise MergeError(f"a tensor of dtype {info.dtype} cannot be averaged")
    return file.read(info.begin, info.nbytes).view(STORAGE[info.dtype]).reshape(info.shape)


def equal_bytes(files: Sequence[OpenFile], infos: Sequence[TensorInfo]) -> bool:
    """Tell whether a tensor has the same bytes in every file; looks at the first few, then stops at the first chunk that differs."""
    nbytes = infos[0].nbytes
    return all(
        _same(files, infos, offset, count)
        for size, end in ((_GLANCE_BYTES, min(_GLANCE_BYTES, nbytes)), (CHUNK_BYTES, nbytes))
        for offset, count in chunks(end, size)
    )


def _same(files: Sequence[OpenFile], infos: Sequence[TensorInfo], offset: int, count: int) -> bool:
    pieces = []
    for index, (file, info) in enumerate(zip(files, infos, strict=True)):
        pieces.append(buffer(("equal", index), count))
        file.read_into(info.begin + offset, pieces[-1])
    return all(np.array_equal(pieces[0], piece) for piece in pieces[1:])


def sha256_of(file: OpenFile, nbytes: int, advance: Advance) -> str:
    """Return the SHA-256 of weights of `nbytes` bytes in hexadecimal; of shards, of their bytes one after the other."""
    digest = hashlib.sha256()
    for offset, count in chunks(nbytes, _HASHED_BYTES):
        piece = buffer("hash", count)
        file.read_into(offset, piece)
        digest.update(piece.data)
        advance(count)
    return digest.hexdigest()
