"""Writing so that a final name never holds half a model: a hidden sibling first, fsync, then rename."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from merge_weights.compute import Job
from merge_weights.errors import MergeError
from merge_weights.header import encode_header
from merge_weights.plan import Entry, Plan
from merge_weights.tensors import Advance, OpenFile, open_files, sha256_of
from merge_weights.workers import Workers


@dataclass(frozen=True)
class OutFile:
    """One file of the output: its name, its tensors in order, and the size of its header."""

    name: str
    entries: tuple[Entry, ...]
    header_bytes: int

    def header(self, metadata: dict[str, str]) -> bytes:
        """Its first bytes; `metadata` must be as long as the one the layout was made with."""
        return encode_header([(entry.key, entry.info.dtype, entry.info.shape, entry.info.nbytes) for entry in self.entries], metadata)


def lay_out(plan: Plan, name: str, metadata: dict[str, str], shard_bytes: int | None) -> tuple[OutFile, ...]:
    """Distribute the tensors of a plan over files.

    Args:
        plan: a checked plan.
        name: of the file, if it is one; shards are called NAME-00001-of-00003.safetensors.
        metadata: of every file; only its length counts here.
        shard_bytes: tensor bytes per file; None for one file.
    """
    groups: list[list[Entry]] = [[]]
    filled = 0
    for entry in plan.written():
        if shard_bytes is not None and groups[-1] and filled + entry.info.nbytes > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(entry)
        filled += entry.info.nbytes
    stem = name.removesuffix(".safetensors")
    names = [name] if len(groups) == 1 else [f"{stem}-{i:05d}-of-{len(groups):05d}.safetensors" for i in range(1, len(groups) + 1)]
    files = [OutFile(name, tuple(group), 0) for name, group in zip(names, groups, strict=True)]
    return tuple(replace(file, header_bytes=len(file.header(metadata))) for file in files)


def write_weights(
    folder: Path, layout: Sequence[OutFile], plan: Plan, metadata: Callable[[Sequence[str]], dict[str, str]], advance: Advance, sync: bool
) -> list[str]:
    """Carry out a plan in one pass over the inputs: two threads hash the inputs and merge pieces of tensors, in any order.

    Args:
        folder: where to write.
        layout: see `lay_out`.
        plan: a checked plan.
        metadata: makes the files' `__metadata__` out of the inputs' hashes; its length must not depend on them.
        advance: told bytes read for hashing and bytes written; called by any thread.
        sync: flush to the disk before returning.

    Returns:
        SHA-256 of each input, base first.

    Raises:
        MergeError: NaN or Inf in an input, or an input that cannot be read.
        OSError: the disk is full or the place cannot be written.
    """
    with ExitStack() as stack:
        files = stack.enter_context(open_files([source.weights for source in plan.sources]))
        outs = [stack.enter_context((folder / out.name).open("xb", buffering=0)) for out in layout]
        pool = stack.enter_context(Workers())
        hashes = [pool.submit(sha256_of, file, source.weights.nbytes, advance) for file, source in zip(files, plan.sources, strict=True)]
        for out, place in zip(outs, layout, strict=True):
            write = partial(_write_at, out.fileno(), advance)
            for job in _jobs(plan, files, place):
                for first, count in job.pieces():
                    pool.submit(job.run, first, count, write)
        pool.wait()
        found = [future.result() for future in hashes]
        for out, place in zip(outs, layout, strict=True):
            _write_at(out.fileno(), lambda _: None, 0, memoryview(place.header(metadata(found))))
            if sync:
                os.fsync(out.fileno())
    return found


def _jobs(plan: Plan, files: Sequence[OpenFile], place: OutFile) -> Iterator[Job]:
    at = place.header_bytes
    for entry in place.entries:
        # Tensors equal everywhere need one input only; an input that lacks a tensor leaves the chain as it is.
        holders = entry.holders[:1] if entry.status in ("equal", "kept") else entry.holders
        yield Job(
            entry.key,
            tuple(files[index] for index in holders),
            tuple(plan.sources[index].weights.tensors[entry.source or entry.key] for index in holders),
            tuple(_coefficient(plan, entry, index - 1) for index in holders[1:]),
            entry.info,
            at,
            plan.method,
            holders[0] == 0,
        )
        at += entry.info.nbytes


def _coefficient(plan: Plan, entry: Entry, step: int) -> float:
    return plan.steps[step].coefficient_for(entry.part) if entry.coefficients is None else entry.coefficients[step]


def _write_at(descriptor: int, advance: Advance, offset: int, data: memoryview) -> None:
    while data:
        done = os.pwrite(descriptor, data, offset)
        data, offset = data[done:], offset + done
        advance(done)


def write_bytes(path: Path, data: bytes, sync: bool) -> None:
    """Write a small file and, if asked, flush it to the disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())


@contextmanager
def staged(out: Path, sync: bool = True) -> Iterator[Path]:
    """Give a temporary name beside `out`; what the block makes under it becomes `out` at the end, or is removed on failure.

    An existing `out` is replaced: a file at once, a folder by renaming it aside first. `sync` flushes folders to the disk.

    Raises:
        MergeError: the disk is full, or the place cannot be written.
    """
    mark = f"{os.getpid()}-{time.time_ns()}"
    partial = out.with_name(f".{out.name}.{mark}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if sync and partial.is_dir():
            _sync_folder(partial)
        _rename(partial, out, out.with_name(f".{out.name}.{mark}.old"))
        if sync:
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
        with suppress(OSError):  # nothing there, or a place where nothing can be
            path.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
