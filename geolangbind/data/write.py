"""Write shards: plain WebDataset tars of one layout each, renamed into place, and their index.

Sequential: `with ShardWriter(folder, "msi") as writer: writer.write(sample)`. Parallel: each process calls `write_shard`, one of them
then `write_index` with all records. Bytes are reproducible: fixed times and owners.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from geolangbind.data.decode import encode_image, encode_mask
from geolangbind.data.index import INDEX_NAME, Index, Layout, ShardRecord, load_index, save_index
from geolangbind.data.sample import KEY_PATTERN, Sample
from geolangbind.data.tars import PendingTar
from geolangbind.errors import DataError
from geolangbind.sensors import get_sensor, modality_of

Existing = Literal["refuse", "append", "overwrite"]


class PendingShard:
    """A shard being written under a temporary name: checks that every sample has the same layout."""

    def __init__(self, path: Path, layout: Layout | None = None) -> None:
        """Begin the shard; without a layout the first sample sets it."""
        self.tar = PendingTar(path)
        self.layout = layout
        self.gsds_m: set[float | None] = set()

    def add(self, sample: Sample) -> None:
        """Append a sample.

        Raises:
            DataError: its layout differs, or its key is used twice.
        """
        if f"{sample.key}.json" in self.tar.checks:
            raise DataError(f"shard {self.tar.path}: key '{sample.key}' is used twice")
        self.layout = _check(sample, self.layout, self.tar.path.name)
        image = encode_image(sample.image, sample.encoding) if sample.stored is None else sample.stored
        members = {f"image.{sample.encoding}": image, "json": sample.meta.to_json()}
        if sample.mask is not None:
            members["mask.png"] = encode_mask(sample.mask)
        self.tar.add(sample.key, members)
        self.gsds_m.add(sample.meta.gsd_m)

    def seal(self) -> ShardRecord:
        """Close the tar and return its record; `place` then gives it its name.

        Raises:
            DataError: it has no sample.
        """
        if self.layout is None:
            raise DataError(f"shard {self.tar.path} would be empty; give it at least one sample")
        sha256, n_bytes, found = self.tar.seal()
        keys = tuple(self.tar.keys)
        tables = {e: np.array([found[f"{key}.{e}"] for key in keys], dtype=np.int64) for e in self.layout.extensions}
        gsd_m = next(iter(self.gsds_m)) if len(self.gsds_m) == 1 else None
        return ShardRecord(self.tar.path.name, sha256, n_bytes, self.layout, gsd_m, keys, tables)

    def place(self) -> None:
        """Give the sealed shard its final name."""
        self.tar.place()

    def discard(self) -> None:
        """Delete what is left under the temporary name; harmless after `place`."""
        self.tar.discard()


def write_shard(path: Path | str, samples: Iterable[Sample]) -> ShardRecord:
    """Write one tar of samples that share one layout. Safe to run in many processes, one per shard.

    Args:
        path: final name, ending in `.tar`; nothing is left there or beside it when writing fails.
        samples: at least one; sensor, bands, unit, scale, offset, shape, dtype and encoding of all must agree.

    Returns:
        The record to hand to `write_index`.

    Raises:
        DataError: no sample, mixed layouts, a key used twice.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    shard = PendingShard(path)
    try:
        for sample in samples:
            shard.add(sample)
        record = shard.seal()
        shard.place()
        return record
    finally:
        shard.discard()


def write_index(
    folder: Path | str, records: Sequence[ShardRecord], provenance: Mapping[str, Any] | None = None, existing: Existing = "refuse"
) -> Index:
    """Write `index.json` for tars that `write_shard` made in `folder`; the last step, atomically.

    Args:
        folder: where the tars lie.
        records: one per tar; sorted by file name, so that the order of processes does not matter.
        provenance: what made the data (generator version, seed, command), plain JSON.
        existing: with an index already there: refuse, append to it, or overwrite it and delete tars that only it lists.

    Raises:
        DataError: an index is already there and `existing` is "refuse"; a key or file is used twice.
    """
    folder = Path(folder)
    old, new = _merge(folder, records, provenance, existing)
    save_index(folder, new)
    _delete_unlisted(folder, old, new)
    return new


class ShardWriter:
    """Write a folder of shards; a context manager. On an exception inside, no tar and no index is left under a final name."""

    def __init__(
        self,
        folder: Path | str,
        prefix: str = "shard",
        *,
        samples_per_shard: int = 1000,
        provenance: Mapping[str, Any] | None = None,
        existing: Existing = "refuse",
    ) -> None:
        """Prepare the folder.

        Args:
            folder: made if needed.
            prefix: shards are named `<prefix>-000000.tar`. Samples of one prefix share one layout; several streams go into one
                folder by naming the prefix at `write`.
            samples_per_shard: a new tar is begun after so many.
            provenance: what made the data, kept in the index.
            existing: see `write_index`.

        Raises:
            DataError: the folder has an index and `existing` is "refuse".
        """
        if samples_per_shard < 1:
            raise DataError(f"samples_per_shard must be at least 1, got {samples_per_shard}")
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prefix, self.samples_per_shard = prefix, samples_per_shard
        self.provenance, self.existing = provenance, existing
        old = _old_index(self.folder, existing)
        self._taken = {record.file for record in old.shards} if existing == "append" else set()
        self._keys: set[tuple[str, str]] = set()
        self._open: dict[str, PendingShard] = {}
        self._sealed: list[tuple[PendingShard, ShardRecord]] = []

    def write(self, sample: Sample, prefix: str | None = None) -> None:
        """Add one sample.

        Args:
            sample: the sample.
            prefix: the stream it belongs to, if not the writer's own prefix.

        Raises:
            DataError: the sample's layout differs from the stream's, or its key is used twice there.
        """
        prefix = prefix or self.prefix
        if not KEY_PATTERN.fullmatch(prefix):
            raise DataError(f"shard prefix '{prefix}' must be 1 to 64 letters, digits, '_' or '-'")
        if (prefix, sample.key) in self._keys:
            raise DataError(f"key '{sample.key}' is used twice in {self.folder}/{prefix}-*.tar")
        shard = self._open.get(prefix)
        if shard is not None and len(shard.tar.keys) >= self.samples_per_shard:
            self._sealed.append((shard, shard.seal()))
            layout, shard = shard.layout, None
        else:
            layout = None
        if shard is None:
            shard = self._open[prefix] = PendingShard(self.folder / self._next_name(prefix))
            shard.layout = layout  # later shards of a stream keep its layout
        shard.add(sample)
        self._keys.add((prefix, sample.key))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        placed: list[Path] = []
        try:
            if kind is None:
                self._sealed += [(shard, shard.seal()) for shard in self._open.values()]
                self._open = {}
                old, new = _merge(self.folder, [record for _, record in self._sealed], self.provenance, self.existing)
                for shard, _ in self._sealed:
                    placed.append(shard.tar.path)
                    shard.place()
                save_index(self.folder, new)
                placed = []
                _delete_unlisted(self.folder, old, new)
        finally:
            for path in placed:
                path.unlink(missing_ok=True)
            for shard in (*self._open.values(), *(shard for shard, _ in self._sealed)):
                shard.discard()

    def _next_name(self, prefix: str) -> str:
        number = 0
        while (name := f"{prefix}-{number:06d}.tar") in self._taken:
            number += 1
        self._taken.add(name)
        return name


def layout_of(sample: Sample) -> Layout:
    """Return the layout of a sample.

    Raises:
        DataError: its bands are not named as the sensor's record names them.
        SensorError: the sensor or a band is unknown.
    """
    sensor = get_sensor(sample.meta.sensor)
    bands = tuple(band.name for band in sensor.select(bands=list(sample.meta.bands)))
    if bands != sample.meta.bands:
        raise DataError(f"sample {sample.key}: name bands as the sensor's record does: {list(bands)}, not {list(sample.meta.bands)}")
    return Layout.of(sample, modality_of(sensor, sample.meta.unit))


def _check(sample: Sample, layout: Layout | None, where: str) -> Layout:
    if layout is not None:
        found = Layout.of(sample, layout.modality)
        names = [name for name in Layout.__dataclass_fields__ if getattr(found, name) != getattr(layout, name)]
        if names:
            differences = "; ".join(f"{name} {getattr(found, name)} instead of {getattr(layout, name)}" for name in names)
            raise DataError(f"sample {sample.key} does not fit shard {where}: {differences}. Write each layout under its own prefix")
        return layout
    return layout_of(sample)


def _old_index(folder: Path, existing: Existing) -> Index:
    if not (folder / INDEX_NAME).exists():
        return Index(())
    if existing == "refuse":
        raise DataError(f"{folder} already has an {INDEX_NAME}; choose another folder, or append to it or overwrite it explicitly")
    return load_index(folder)


def _merge(folder: Path, records: Sequence[ShardRecord], provenance: Mapping[str, Any] | None, existing: Existing) -> tuple[Index, Index]:
    """Return the folder's old index and the one to write."""
    old = _old_index(folder, existing)
    kept = old.shards if existing == "append" else ()
    shards = tuple(sorted((*kept, *records), key=lambda record: record.file))
    if not shards:
        raise DataError(f"no shard for {folder}; write at least one sample")
    _check_unique("shard", [record.file for record in shards])
    # one scene seen by several sensors keeps its key in each of their streams
    streams: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for record in shards:
        streams.setdefault((record.layout.sensor, record.layout.bands, record.layout.unit), []).extend(record.keys)
    for (sensor, _, _), keys in streams.items():
        _check_unique(f"{sensor} sample", keys)
    return old, Index(shards, {**(old.provenance if kept else {}), **(provenance or {})})


def _check_unique(what: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        twice, _ = Counter(names).most_common(1)[0]
        raise DataError(f"{what} '{twice}' is used twice; rename one")


def _delete_unlisted(folder: Path, old: Index, new: Index) -> None:
    """Delete what only the old index lists: replaced shards and the features computed from them."""
    for file in _files(old) - _files(new):
        (folder / file).unlink(missing_ok=True)


def _files(index: Index) -> set[str]:
    sidecars = {record.file for shard in index.shards for record in shard.features.values()}
    return {shard.file for shard in index.shards} | sidecars
