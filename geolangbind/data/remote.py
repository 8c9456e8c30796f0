"""Folders of shards at an address: exactly the bytes that samples need, by range requests, checked, retried and cached.

Everything goes through fsspec in this process: no shell, no pipes. Importable without fsspec, torch or a network.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from geolangbind.data.block_cache import BLOCK_BYTES, BlockCache
from geolangbind.data.requests import PROTOCOLS, Ranges, Retry, explain, is_final, open_filesystem
from geolangbind.errors import DataError

_CONCURRENT = 16
_RUN_BLOCKS = 16  # most blocks in one request; with _CONCURRENT this bounds memory to 128 MiB


class Span(NamedTuple):
    """A member of a remote tar: file name, hash and size of the tar, sample key, offset, size and CRC-32 of the member."""

    file: str
    sha256: str
    n_bytes: int
    key: str
    offset: int
    size: int
    crc32: int


class _Range(NamedTuple):
    """Bytes `start` to `stop` of a file; both None for all of it."""

    file: str
    start: int | None
    stop: int | None


def is_remote(folder: object) -> bool:
    """Whether `folder` is an address and not a path."""
    return isinstance(folder, RemoteFolder) or (isinstance(folder, str) and "://" in folder)


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of files behind https, s3 or another protocol of `PROTOCOLS`. Picklable, holds no connection; `str` hides secrets.

    Attributes:
        url: address; a query (a signature) goes with every request.
        cache: where blocks are kept, None for nowhere.
        retry: how often and with what pauses.
    """

    url: str
    cache: BlockCache | None = field(default_factory=BlockCache.from_environment)
    retry: Retry = field(default_factory=Retry)

    def __post_init__(self) -> None:
        protocol = urlsplit(self.url).scheme
        if protocol not in PROTOCOLS or self.url.count("://") != 1:  # fsspec's chains (zip::..., reference://) could reach any file
            raise DataError(f"cannot read {self}: '{protocol}://' is not one of {', '.join(f'{name}://' for name in PROTOCOLS)}")

    def __str__(self) -> str:
        """The address without user, password and signature."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))

    def fetch(self, name: str) -> bytes:
        """Return a whole file.

        Raises:
            DataError: it is not there, refused, or not reached after all tries.
        """
        return next(self._ranges([_Range(name, None, None)]))

    def download(self, name: str, n_bytes: int, to: Path) -> None:
        """Write the first `n_bytes` of a file to `to`, piece by piece, past the cache.

        Raises:
            DataError: as `fetch`, or it is shorter.
        """
        step = BLOCK_BYTES * _RUN_BLOCKS
        with to.open("wb") as file:
            for data in self._ranges([_Range(name, start, min(start + step, n_bytes)) for start in range(0, n_bytes, step)]):
                file.write(data)

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        """Return the bytes of `spans`, in order, each of the right length and CRC-32; what is missing is fetched at once, in parallel.

        Raises:
            DataError: as `fetch`, a file is cut off, or bytes differ from what was written; the message names address and key.
        """
        for span in spans:
            if not (span.offset >= 0 and span.size >= 0 and span.offset + span.size <= span.n_bytes):
                raise DataError(f"{self}/{span.file}, key {span.key}: the index points outside the file; write the index again")
        found = self._read_samples(spans) if self.cache is None else self._read_blocks(spans, self.cache)
        return [data if zlib.crc32(data) == span.crc32 else self._read_again(span) for span, data in zip(spans, found, strict=True)]

    def _read_samples(self, spans: Sequence[Span]) -> list[bytes]:
        """One request per sample: its members lie side by side."""
        reach: dict[tuple[str, str], tuple[int, int]] = {}
        for span in spans:
            start, stop = reach.get((span.file, span.key), (span.offset, span.offset))
            reach[span.file, span.key] = min(start, span.offset), max(stop, span.offset + span.size)
        ranges = [_Range(file, start, stop) for (file, _), (start, stop) in reach.items()]
        data = dict(zip(reach, self._ranges(ranges), strict=True))
        firsts = [span.offset - reach[span.file, span.key][0] for span in spans]
        return [data[span.file, span.key][first : first + span.size] for span, first in zip(spans, firsts, strict=True)]

    def _read_blocks(self, spans: Sequence[Span], cache: BlockCache) -> list[bytes]:
        owner = {span.file: span for span in spans}
        missing = {
            (span.file, number)
            for span in spans
            for number in _blocks(span)
            if not cache.has(self._content(span), number, min(BLOCK_BYTES, span.n_bytes - number * BLOCK_BYTES))
        }
        runs: list[tuple[str, list[int]]] = []
        for file, number in sorted(missing):
            if runs and runs[-1][0] == file and runs[-1][1][-1] == number - 1 and len(runs[-1][1]) < _RUN_BLOCKS:
                runs[-1][1].append(number)
            else:
                runs.append((file, [number]))
        edges = [(file, run[0] * BLOCK_BYTES, min((run[-1] + 1) * BLOCK_BYTES, owner[file].n_bytes)) for file, run in runs]
        for (file, run), data in zip(runs, self._ranges([_Range(*edge) for edge in edges]), strict=True):
            for place, number in enumerate(run):
                cache.write(self._content(owner[file]), number, data[place * BLOCK_BYTES : (place + 1) * BLOCK_BYTES])
        return [self._cached(span, cache) for span in spans]

    def _cached(self, span: Span, cache: BlockCache) -> bytes:
        parts = []
        for number in _blocks(span):
            start = max(span.offset - number * BLOCK_BYTES, 0)
            stop = min(span.offset + span.size - number * BLOCK_BYTES, BLOCK_BYTES)
            part = cache.read(self._content(span), number, start, stop - start)
            if part is None:  # another process removed it meanwhile, or the disk is full
                return next(self._ranges([_Range(span.file, span.offset, span.offset + span.size)]))
            parts.append(part)
        return b"".join(parts)

    def _read_again(self, span: Span) -> bytes:
        """Damage may lie in the cache or have come on the way: forget the blocks, ask once more."""
        if self.cache is not None:
            for number in _blocks(span):
                self.cache.drop(self._content(span), number)
        data = next(self._ranges([_Range(span.file, span.offset, span.offset + span.size)]))
        if zlib.crc32(data) != span.crc32:
            where = f"{self}/{span.file}, key {span.key}"
            raise DataError(
                f"{where}: bytes {span.offset} to {span.offset + span.size} differ from what was written (CRC-32); upload it again"
            )
        return data

    def _content(self, span: Span) -> str:
        # of the address too: the index of one folder cannot plant bytes for another; of the hash: rewritten shards are fetched anew
        return hashlib.sha256(f"{self}/{span.file}\n{span.sha256}\n{span.n_bytes}".encode()).hexdigest()

    def _ranges(self, wanted: Sequence[_Range]) -> Iterator[bytes]:
        for first in range(0, len(wanted), _CONCURRENT):
            yield from self._fetch_group(wanted[first : first + _CONCURRENT])

    def _fetch_group(self, group: Sequence[_Range]) -> list[bytes]:
        """Fetch ranges in parallel; those that fail in passing are asked for again."""
        found: dict[int, bytes] = {}
        for attempt in range(1, self.retry.attempts + 1):
            due = [number for number in range(len(group)) if number not in found]
            paths = [self._address(group[number].file) for number in due]
            starts, stops = [group[number].start for number in due], [group[number].stop for number in due]
            answers = self._filesystem.cat_ranges(paths, starts, stops, on_error="return")
            for number, answer in zip(due, answers, strict=True):
                failure = _failure(group[number], answer)
                if isinstance(answer, bytes) and failure is None:
                    found[number] = answer
                elif failure is not None and (is_final(failure) or attempt == self.retry.attempts):
                    raise DataError(explain(f"{self}/{group[number].file}", failure, attempt)) from None
            if len(found) == len(group):
                break
            self.retry.wait(self.retry.pause_s(attempt))
        return [found[number] for number in range(len(group))]

    @property
    def _filesystem(self) -> Ranges:
        return open_filesystem(urlsplit(self.url).scheme, str(self))  # fsspec keeps one per process: a fork must not share connections

    @cached_property
    def _parts(self) -> tuple[str, str, str, str]:
        parts = urlsplit(self.url)
        return parts.scheme, parts.netloc, parts.path.rstrip("/"), parts.query

    def _address(self, name: str) -> str:
        scheme, netloc, path, query = self._parts
        return urlunsplit((scheme, netloc, f"{path}/{name}", query, ""))


def _blocks(span: Span) -> range:
    return range(span.offset // BLOCK_BYTES, -(-(span.offset + span.size) // BLOCK_BYTES))


def _failure(wanted: _Range, data: bytes | BaseException) -> BaseException | None:
    if isinstance(data, BaseException):
        return data
    if wanted.start is None or wanted.stop is None or len(data) == wanted.stop - wanted.start:
        return None
    if len(data) > wanted.stop - wanted.start:
        return NotImplementedError("the server ignores range requests")
    return EOFError(f"bytes {wanted.start} to {wanted.stop} asked, {len(data)} came")
