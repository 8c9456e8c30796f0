"""Check indexed shards to the last byte: every finding names shard, key and way out."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from geolangbind.data.batch import collate
from geolangbind.data.decode import decode_features
from geolangbind.data.faults import Problem
from geolangbind.data.index import FeatureRecord, ShardRecord, load_index
from geolangbind.data.remote import RemoteFolder
from geolangbind.data.shards import Stream, open_folder, read_member
from geolangbind.errors import GeoLangBindError

Progress = Callable[[Sequence[ShardRecord]], Iterable[ShardRecord]]
"""Wraps the shards to go through, to show how far the check is; `rich.progress.track` is one."""


@dataclass(frozen=True)
class Report:
    """What `verify` found: nothing is wrong if `problems` is empty."""

    folder: Path | RemoteFolder
    shards: int
    samples: int
    n_bytes: int
    fingerprint: str
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether the folder is whole."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Plain values: folder, counts, fingerprint, `ok`, and `problems` as shard, key and what is wrong."""
        told = {"folder": str(self.folder), "shards": self.shards, "samples": self.samples, "bytes": self.n_bytes}
        return {**told, "fingerprint": self.fingerprint, "ok": self.ok, "problems": [asdict(problem) for problem in self.problems]}


def verify(folder: Path | str | RemoteFolder, progress: Progress | None = None) -> Report:
    """Read every byte of the shards and their feature side-cars and compare with the index.

    Checked: files present, sizes, hashes, tar structure against the index, checksums per member, decoding, units, finite pixels and
    finite features, and no tar that the index does not know. Of a remote folder one shard at a time is
    downloaded, past the cache, and checked here; tars that its index does not know cannot be seen.

    Args:
        folder: shards with an `index.json`, a path or an address.
        progress: see `Progress`.

    Raises:
        DataError: there is no index or it is damaged, so that nothing can be compared.
    """
    folder = open_folder(folder)
    index = load_index(folder)
    problems: list[Problem] = []
    for shard in (progress or iter)(index.shards):
        problems += _check_shard(folder, shard) if isinstance(folder, Path) else _check_remote(folder, shard)
    if isinstance(folder, Path):
        listed = {shard.file for shard in index.shards} | {f.file for shard in index.shards for f in shard.features.values()}
        strays = sorted(path.name for path in folder.glob("*.tar") if path.name not in listed)
        problems += [Problem(name, None, "is not in the index and is never read; delete it, or write the index again") for name in strays]
    return Report(
        folder=folder,
        shards=len(index.shards),
        samples=sum(len(shard.keys) for shard in index.shards),
        n_bytes=sum(shard.n_bytes for shard in index.shards),
        fingerprint=index.fingerprint,
        problems=tuple(problems),
    )


def render_report(report: Report) -> Table:
    """Return the report as a table: one line per problem, or one that says all is well."""
    counts = f"{report.shards} shards, {report.samples} samples, {report.n_bytes / 1e6:.1f} MB"
    table = Table("shard", "key", "problem", title=f"{report.folder}: {counts}", title_justify="left")
    for problem in report.problems:
        table.add_row(problem.shard, problem.key or "", problem.what, style="red")
    if report.ok:
        table.add_row("all", "all", f"none; fingerprint {report.fingerprint[:16]}", style="green")
    return table


def _check_shard(folder: Path, shard: ShardRecord) -> Iterator[Problem]:
    found = list(_check_tar(folder, shard.file, shard.keys, shard.members, shard.n_bytes, shard.sha256))
    yield from found or _check_samples(folder, shard)
    for features in shard.features.values():
        yield from _check_sidecar(folder, shard, features)


def _check_remote(folder: RemoteFolder, shard: ShardRecord) -> list[Problem]:
    """Download a shard and its side-cars, check them, delete them."""
    failed = {}
    with TemporaryDirectory() as here:
        for name, n_bytes in ((shard.file, shard.n_bytes), *((f.file, f.n_bytes) for f in shard.features.values())):
            try:
                folder.download(name, n_bytes, Path(here, name))
            except GeoLangBindError as error:
                failed[name] = Problem(name, None, str(error))
        return [*failed.values(), *(problem for problem in _check_shard(Path(here), shard) if problem.shard not in failed)]


def _check_tar(
    folder: Path, name: str, keys: Sequence[str], members: Mapping[str, NDArray[np.int64]], n_bytes: int, sha256: str
) -> Iterator[Problem]:
    """Compare one file with its record. Once the hash agrees, members must still lie where the index says."""
    path = folder / name
    if path.exists() and not path.is_file():  # a pipe would be waited for
        yield Problem(name, None, "is no file; restore it or write the shards again")
        return
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        yield Problem(name, None, f"cannot be read ({error.strerror}); restore it or write the shards again")
        return
    rows = [(key, extension, *table[i].tolist()) for i, key in enumerate(keys) for extension, table in members.items()]
    if len(data) < n_bytes:
        lost = [row for row in rows if row[2] + row[3] > len(data)]
        first = lost[0][0] if lost else None
        what = f"is cut off: {len(data)} of {n_bytes} bytes, {len({row[0] for row in lost})} samples lost from here on; copy it again"
        yield Problem(name, first, what)
        return
    damaged = [(key, extension) for key, extension, offset, size, crc in rows if zlib.crc32(data[offset : offset + size]) != crc]
    for key, extension in damaged:
        yield Problem(name, key, f".{extension} differs from what was written; copy the shard again")
    if damaged:
        return
    if hashlib.sha256(data).hexdigest() != sha256:
        yield Problem(name, None, "its hash is wrong, but no sample's bytes are (a tar header, or bytes added); copy it again")
        return
    found = _scan(path)
    for key, extension, offset, size, _ in rows:
        if found.get(f"{key}.{extension}") != (offset, size):
            yield Problem(name, key, f".{extension} does not lie where the index says; write the index again")
            return


def _check_samples(folder: Path, shard: ShardRecord) -> list[Problem]:
    """Decode each sample of a shard whose bytes are right: this finds what was written wrong."""
    stream = Stream(folder, (shard,))
    problems = []
    for number, key in enumerate(shard.keys):
        try:
            sample = stream.read(number)
            collate([sample])
        except GeoLangBindError as error:
            problems.append(Problem(shard.file, key, f"{error}; write the shard again"))
            continue
        if not sample.meta.captions and not sample.meta.labels:
            problems.append(Problem(shard.file, key, "has neither a caption nor a label; add one and write the shard again"))
    return problems


def _check_sidecar(folder: Path, shard: ShardRecord, features: FeatureRecord) -> list[Problem]:
    table = {f"{features.teacher}.safetensors": features.members}
    problems = list(_check_tar(folder, features.file, shard.keys, table, features.n_bytes, features.sha256))
    if problems:
        return problems
    with (folder / features.file).open("rb") as file:
        for key, (offset, size, _) in zip(shard.keys, features.members.tolist(), strict=True):
            try:
                tokens = decode_features(read_member(file, offset, size))
            except GeoLangBindError as error:
                problems.append(Problem(features.file, key, f"{error}; compute the features again"))
                continue
            if tokens.shape != features.shape or not np.isfinite(tokens).all():
                what = f"features {tokens.shape} where the index says {features.shape}, or not finite; compute them again"
                problems.append(Problem(features.file, key, what))
    return problems


def _scan(path: Path) -> dict[str, tuple[int, int]]:
    """Return offset and size by member name, as the tar itself says."""
    members: dict[str, tuple[int, int]] = {}
    with suppress(tarfile.TarError, EOFError), tarfile.open(path, "r:") as tar:
        for item in tar:
            members[item.name] = (item.offset_data, item.size)
    return members
