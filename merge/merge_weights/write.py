"""Writing so that a final name never holds half a model: a hidden sibling first, fsync, then rename."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from merge_weights.errors import MergeError
from merge_weights.header import encode_header
from merge_weights.plan import Plan
from merge_weights.tensors import Advance, merged_chunks, open_files


def write_weights(path: Path, plan: Plan, metadata: dict[str, str], advance: Advance) -> None:
    """Carry out a plan in one pass over the inputs and write the merged safetensors file.

    Args:
        path: where to write; flushed to the disk before returning.
        plan: a checked plan.
        metadata: the file's `__metadata__`.
        advance: told the bytes written.

    Raises:
        MergeError: NaN or Inf in an input, or an input that cannot be read.
        OSError: the disk is full or the place cannot be written.
    """
    entries = plan.written()
    header = encode_header([(entry.key, entry.info.dtype, entry.info.shape, entry.info.nbytes) for entry in entries], metadata)
    with open_files([source.weights.path for source in plan.sources]) as files, path.open("xb", buffering=0) as out:
        _write_all(out.fileno(), memoryview(header))
        for entry in entries:
            # Tensors equal everywhere need one input only; an input that lacks a tensor leaves the chain as it is.
            holders = entry.holders[:1] if entry.status == "equal" else entry.holders
            infos = [plan.sources[index].weights.tensors[entry.key] for index in holders]
            coefficients = [plan.steps[index - 1].coefficient_for(entry.part) for index in holders[1:]]
            for chunk in merged_chunks(entry.key, [files[index] for index in holders], infos, coefficients):
                _write_all(out.fileno(), chunk.data.cast("B"))
                advance(chunk.nbytes)
        os.fsync(out.fileno())


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file and flush it to the disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Give a temporary name beside `out`; what the block makes under it becomes `out` at the end, or is removed on failure.

    An existing `out` is replaced: a file at once, a folder by renaming it aside first.

    Raises:
        MergeError: the disk is full, or the place cannot be written.
    """
    mark = f"{os.getpid()}-{time.time_ns()}"
    partial = out.with_name(f".{out.name}.{mark}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if partial.is_dir():
            _sync_folder(partial)
        _rename(partial, out, out.with_name(f".{out.name}.{mark}.old"))
        _sync_folder(out.parent)
    except OSError as error:
        raise MergeError(f"cannot write {out}: {error.strerror or error}; nothing was left behind") from error
    finally:
        _remove(partial)


def _rename(partial: Path, out: Path, aside: Path) -> None:
    if not out.is_dir():
        partial.replace(out)
        return
    out.rename(aside)
    try:
        partial.rename(out)
    except BaseException:
        aside.rename(out)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
