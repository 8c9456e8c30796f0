"""A pairs folder: `pairs.json` and one file of JSON lines per source, read by random access. Importable without torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geolangbind.data.sample import KEY_PATTERN, Sample
from geolangbind.data.shards import ShardSet, Stream, read_member
from geolangbind.errors import DataError
from geolangbind.instruct.row import AnyRow, RankingRow, Row, row_from_line, row_to_json
from geolangbind.instruct.segments_json import StoredImage, relative, resolved
from geolangbind.interleaved.segments import Image

__all__ = ["PAIRS_NAME", "Pairs", "RankingRow", "Row", "Source", "StoredImage", "plain_name", "write_pairs"]

PAIRS_NAME = "pairs.json"
_FORMAT = "geolangbind-pairs"
_VERSION = 1
_BLOCK = 1 << 24
_ROWS_READ = 1000


@dataclass(frozen=True, eq=False)
class Source:
    """Rows of one origin, either all to train on or all to rank. Picklable; holds no open file.

    Attributes:
        name: as in `pairs.json`.
        path: its file of JSON lines.
        rows: how many.
        sha256: hash of the file.
        provenance: what made it, plain JSON.
    """

    name: str
    path: Path
    rows: int
    sha256: str
    provenance: Mapping[str, Any]

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[AnyRow]:
        for start in range(0, self.rows, _ROWS_READ):
            yield from self.read(range(start, min(start + _ROWS_READ, self.rows)))

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        """Offset behind each line; the file is gone through once."""
        found, offset = [], 0
        with self.path.open("rb") as file:
            while block := file.read(_BLOCK):
                found.append(np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + offset + 1)
                offset += len(block)
        ends = np.concatenate(found) if found else np.empty(0, np.int64)
        if len(ends) != self.rows or (self.rows and ends[-1] != offset):
            raise DataError(
                f"{self.path} has {len(ends)} whole lines, {PAIRS_NAME} says {self.rows}; copy it again or build the pairs again"
            )
        return ends

    def read(self, numbers: Sequence[int] | NDArray[np.int64]) -> list[AnyRow]:
        """Read rows by their numbers, in the order asked.

        Raises:
            DataError: no such row, or a line that is no row; the message names file and line.
        """
        ends, rows = self._ends, []
        with self.path.open("rb", buffering=0) as file:
            for number in map(int, numbers):
                if not 0 <= number < len(ends):
                    raise DataError(f"row {number} asked of source '{self.name}', which has {len(ends)}")
                start = int(ends[number - 1]) if number else 0
                line = bytes(read_member(file, start, int(ends[number]) - start))
                rows.append(row_from_line(line, self.path.parent, f"{self.path}:{number + 1}"))
        return rows


@dataclass(frozen=True, eq=False)
class Pairs:
    """An opened pairs folder.

    Attributes:
        folder: where `pairs.json` lies.
        images: folders of indexed shards by name: a path, or an address.
        sources: the rows, by name.
    """

    folder: Path
    images: Mapping[str, Path | str]
    sources: Mapping[str, Source]

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """Open `folder`, reading `pairs.json` only.

        Raises:
            DataError: no `pairs.json`, one of a later version, or a damaged one; a source's file is missing.
        """
        folder = Path(folder)
        path = folder / PAIRS_NAME
        if not path.is_file():
            raise DataError(f"{folder} has no {PAIRS_NAME}; make one with `geolangbind pairs build` or `geolangbind pairs import-mmeb`")
        try:
            document = json.loads(path.read_text("utf-8"))
            if document["format"] != _FORMAT or document["format_version"] > _VERSION:
                told = f"format {document['format']} version {document['format_version']}"
                raise DataError(f"{path}: {told}; this release reads {_FORMAT} {_VERSION}")
            images = {str(name): resolved(place, folder) for name, place in document["images"].items()}
            sources = {name: _source(folder, name, **entry) for name, entry in document["sources"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} is damaged ({error}); restore it or build the pairs again") from None
        for source in sources.values():
            if not source.path.is_file():
                raise DataError(f"{source.path} is listed in {path} but missing; copy it again or build the pairs again")
        return cls(folder, images, sources)

    def read(self, source: str, numbers: Sequence[int] | NDArray[np.int64]) -> list[Row]:
        """Read rows to train on by their numbers, in the order asked.

        Raises:
            DataError: see `Source.read`; or the source holds rows to rank.
        """
        rows = self._source(source).read(numbers)
        found = [row for row in rows if isinstance(row, Row)]
        if len(found) < len(rows):
            raise DataError(f"source '{source}' of {self.folder} holds rows to rank, which have no single target; they are for evaluation")
        return found

    def read_rankings(self, source: str, numbers: Sequence[int] | NDArray[np.int64]) -> list[RankingRow]:
        """Read rows to rank by their numbers, in the order asked.

        Raises:
            DataError: see `Source.read`; or the source holds rows to train on.
        """
        rows = self._source(source).read(numbers)
        found = [row for row in rows if isinstance(row, RankingRow)]
        if len(found) < len(rows):
            raise DataError(f"source '{source}' of {self.folder} holds rows to train on, without candidates to rank")
        return found

    @cached_property
    def shard_sets(self) -> dict[str, ShardSet]:
        """The opened folders of shards, by name."""
        return {name: ShardSet.open(place) for name, place in self.images.items()}

    def locate(self, image: StoredImage) -> tuple[Stream, int]:
        """Return the stream that holds an image, and its number there.

        Raises:
            DataError: no such folder of shards, or no such key in it.
        """
        place = self._keys.get(image.shards, {}).get(image.key)
        if place is None:
            where = self.images.get(image.shards)
            lacking = f"which {PAIRS_NAME} does not name" if where is None else f"but {where} has no such sample"
            raise DataError(f"{self.folder}: rows use image '{image.key}' of shards '{image.shards}', {lacking}")
        stream, number = place
        return self.shard_sets[image.shards].streams[stream], number

    def sample(self, image: StoredImage) -> Sample:
        """Read one image; for many, group them by their stream and use `Stream.read_many`."""
        stream, number = self.locate(image)
        return stream.read(number)

    def verify(self) -> None:
        """Check hashes, every row and that every image exists, in shards or as a file here; those at addresses are not asked for.

        Raises:
            DataError: the first thing that is wrong.
        """
        found = set[Path]()
        for source in self.sources.values():
            if _sha256(source.path) != source.sha256:
                raise DataError(f"{source.path} is not the file that {PAIRS_NAME} lists (its hash differs); copy it again")
            checks = _Checks(source.name, self.images)
            for row in source:
                checks.check(row)
                for image in stored_images(row):
                    self.locate(image)
                for path in file_images(row):
                    if path not in found and not path.exists():
                        raise DataError(f"source '{source.name}', row {row.id}: {path} is missing; put it back, or build the pairs again")
                    found.add(path)

    def _source(self, name: str) -> Source:
        if name not in self.sources:
            raise DataError(f"{self.folder} has no source '{name}'; it has {', '.join(self.sources)}")
        return self.sources[name]

    @cached_property
    def _keys(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Stream and number by key, by folder of shards."""
        tables: dict[str, dict[str, tuple[int, int]]] = {}
        for name, held in self.shard_sets.items():
            table = tables[name] = {}
            for number, stream in enumerate(held.streams):
                keys = (key for shard in stream.shards for key in shard.keys)
                table.update((key, (number, place)) for place, key in enumerate(keys))
        return tables


def stored_images(row: AnyRow) -> list[StoredImage]:
    """Return what a row takes from shards."""
    return [source for source in _image_sources(row) if isinstance(source, StoredImage)]


def file_images(row: AnyRow) -> list[Path]:
    """Return the files here that a row shows, or folders of them."""
    return [source for source in _image_sources(row) if isinstance(source, Path)]


def _image_sources(row: AnyRow) -> list[Any]:
    others = (row.target, *row.negatives) if isinstance(row, Row) else row.candidates
    return [segment.source for sequence in (row.query, *others) for segment in sequence if isinstance(segment, Image)]


def write_pairs(
    folder: Path | str, images: Mapping[str, Path | str], sources: Mapping[str, tuple[Iterable[AnyRow], Mapping[str, Any]]]
) -> Pairs:
    """Write a pairs folder; `pairs.json` comes last, and nothing half-written gets a final name.

    Args:
        folder: made if needed; it must not hold a `pairs.json` yet.
        images: folders of indexed shards that the rows use, by name.
        sources: rows, which may be made while they are written, and provenance (plain JSON), by name.

    Raises:
        DataError: `folder` holds pairs already; a name that is no plain word; a source without rows, with an id used twice, with both
            kinds of rows, or with an image in shards that `images` does not name.
    """
    folder = Path(folder)
    if (folder / PAIRS_NAME).exists():
        raise DataError(f"{folder} holds pairs already; choose another folder, or delete that one first")
    for name in (*images, *sources):
        if not KEY_PATTERN.fullmatch(name):
            raise DataError(f"'{name}': sources and folders of shards are named with letters, digits, '_' and '-'")
    folder.mkdir(parents=True, exist_ok=True)
    entries = {}
    for name, (rows, provenance) in sources.items():
        entries[name] = _write_source(folder, name, rows, _Checks(name, images)) | {"provenance": dict(provenance)}
    document = {
        "format": _FORMAT, "format_version": _VERSION,
        "images": {name: relative(place, folder) for name, place in images.items()}, "sources": entries,
    }  # fmt: skip
    _write_lines(folder / PAIRS_NAME, [json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)])
    return Pairs.open(folder)


def plain_name(text: str) -> str:
    """Return `text` as the name of a source or of a folder of shards: other characters become `-`."""
    return "".join(character if KEY_PATTERN.fullmatch(character) else "-" for character in text)[:64]


class _Checks:
    """What no single row can show."""

    def __init__(self, source: str, images: Mapping[str, object]) -> None:
        self.source, self.images, self.ids = source, images, set[str]()
        self.kind: type[AnyRow] | None = None

    def check(self, row: AnyRow) -> None:
        if row.id in self.ids:
            raise DataError(f"source '{self.source}': id '{row.id}' is used twice")
        self.ids.add(row.id)
        if not isinstance(row, self.kind or type(row)):
            raise DataError(f"source '{self.source}', row {row.id}: a source holds rows to train on or rows to rank, not both")
        self.kind = type(row)
        for image in stored_images(row):
            if image.shards not in self.images:
                raise DataError(f"source '{self.source}', row {row.id}: shards '{image.shards}' are not among {', '.join(self.images)}")


def _write_source(folder: Path, name: str, rows: Iterable[AnyRow], checks: _Checks) -> dict[str, Any]:
    path = folder / f"{name}.jsonl"

    def lines() -> Iterable[str]:
        for row in rows:
            checks.check(row)
            yield json.dumps(row_to_json(row, folder), ensure_ascii=False, allow_nan=False)
        if not checks.ids:
            raise DataError(f"source '{name}' has no rows; leave it out")

    sha256 = _write_lines(path, lines())
    return {"file": path.name, "rows": len(checks.ids), "sha256": sha256}


def _write_lines(path: Path, lines: Iterable[str]) -> str:
    """Write lines under a temporary name, sync and rename; return the hash."""
    temporary, digest = path.with_name(f".{path.name}.{os.getpid()}.tmp"), hashlib.sha256()
    try:
        with temporary.open("wb") as file:
            for line in lines:
                data = f"{line}\n".encode()
                digest.update(data)
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return digest.hexdigest()


def _source(folder: Path, name: str, *, file: str, rows: int, sha256: str, provenance: Mapping[str, Any]) -> Source:
    if Path(file).name != file or type(rows) is not int or rows < 1 or not isinstance(sha256, str) or not isinstance(provenance, dict):
        raise ValueError(f"source '{name}' must have a plain file name, a number of rows, a hash and a provenance")
    return Source(name, folder / file, rows, sha256, provenance)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
