"""Read indexed shards: open a folder, see its streams, read any samples at their byte offsets. Importable without torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from geolangbind.data.decode import decode_features, decode_image, decode_mask
from geolangbind.data.faults import OnError
from geolangbind.data.index import Index, ShardRecord, load_index
from geolangbind.data.remote import RemoteFolder, Span, is_remote
from geolangbind.data.sample import Sample, SampleMeta
from geolangbind.errors import DataError, GeoLangBindError
from geolangbind.sensors.units import Unit

_READ_ERRORS = (GeoLangBindError, OSError)


@dataclass(frozen=True, eq=False)
class Stream:
    """Samples that can share a batch: one sensor, one band list, unit and image shape. Picklable; holds no open file.

    Attributes:
        folder: where the tars lie, here or at an address.
        shards: records of its tars, in order; samples count through them.
    """

    folder: Path | RemoteFolder
    shards: tuple[ShardRecord, ...]

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def sensor(self) -> str:
        """Name of the sensor record."""
        return self.shards[0].layout.sensor

    @property
    def modality(self) -> str:
        """One of rgb, sar, msi, hsi, ir, dem."""
        return self.shards[0].layout.modality

    @property
    def bands(self) -> tuple[str, ...]:
        """Band names in channel order."""
        return self.shards[0].layout.bands

    @property
    def unit(self) -> Unit:
        """Unit after scale and offset, before `to_canonical`."""
        return self.shards[0].layout.unit

    @property
    def shape(self) -> tuple[int, int, int]:
        """Image shape (C, H, W)."""
        return self.shards[0].layout.shape

    @property
    def teachers(self) -> tuple[str, ...]:
        """Teachers whose features every shard of the stream has."""
        return tuple(teacher for teacher in self.shards[0].features if all(teacher in shard.features for shard in self.shards))

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum([len(shard.keys) for shard in self.shards], dtype=np.int64)

    def locate(self, indices: Sequence[int] | NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return shard number and place in the shard, int64 each, of the samples `indices`.

        Raises:
            DataError: an index lies outside the stream.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise DataError(f"sample {wanted.min()} to {wanted.max()} asked of a stream of {len(self)} ({self.sensor} in {self.folder})")
        shard = np.searchsorted(self._ends, wanted, side="right")
        return shard, wanted - np.concatenate(([0], self._ends))[shard]

    def read(self, index: int, teachers: Iterable[str] = ()) -> Sample:
        """Read one sample, see `read_many`."""
        return self.read_many([index], teachers)[0]

    def read_many(self, indices: Sequence[int] | NDArray[np.int64], teachers: Iterable[str] = ()) -> list[Sample]:
        """Read samples, in the order asked. Files are opened once per call and closed again, so forks and copies share nothing.

        Args:
            indices: sample numbers in the stream.
            teachers: whose features to read too.

        Raises:
            DataError: a shard is missing, cut off or damaged, or lacks a teacher; the message names shard and key.
        """
        shard_of, place_of = self.locate(indices)
        samples: dict[int, Sample] = {}
        names = tuple(teachers)
        if isinstance(self.folder, RemoteFolder):  # all at once: one shard after the other would wait for each answer in turn
            asked_of = [(self.shards[number], place) for number, place in zip(shard_of.tolist(), place_of.tolist(), strict=True)]
            return _read_remote(self.folder, asked_of, names)
        for number in np.unique(shard_of):
            record, asked = self.shards[number], np.flatnonzero(shard_of == number)
            samples.update(zip(asked.tolist(), _read_shard(self.folder, record, place_of[asked].tolist(), names), strict=True))
        return [samples[position] for position in range(len(samples))]


@dataclass(frozen=True, eq=False)
class ShardSet:
    """A folder of indexed shards. Opening reads `index.json` and file sizes only.

    Attributes:
        folder: the folder, here or at an address.
        index: its index.
        streams: its samples grouped by sensor, bands, unit and shape, in the order of the shards.
    """

    folder: Path | RemoteFolder
    index: Index
    streams: tuple[Stream, ...]

    @classmethod
    def open(cls, folder: Path | str | RemoteFolder, on_error: OnError = "raise") -> Self:
        """Open `folder`: a path, or an address (`https://host/shards`, `s3://bucket/shards`), whose tars are looked at when read.

        Args:
            folder: see above.
            on_error: "skip" opens a folder with a tar that is missing or of another size, too; its samples fail when they are read.

        Raises:
            DataError: no or a damaged index; with "raise", a tar missing or of another size.
        """
        folder = open_folder(folder)
        index = load_index(folder)
        groups: dict[object, list[ShardRecord]] = {}
        for shard in index.shards:
            for name, expected in ((shard.file, shard.n_bytes), *((f.file, f.n_bytes) for f in shard.features.values())):
                if isinstance(folder, Path) and on_error == "raise":
                    _check_size(folder / name, expected)
            layout = shard.layout
            groups.setdefault((layout.sensor, layout.bands, layout.unit, layout.shape, layout.has_mask), []).append(shard)
        return cls(folder, index, tuple(Stream(folder, tuple(shards)) for shards in groups.values()))

    @property
    def fingerprint(self) -> str:
        """Identity of the data, see `Index.fingerprint`."""
        return self.index.fingerprint

    def __len__(self) -> int:
        return sum(len(stream) for stream in self.streams)

    def select(self, modalities: Iterable[str] | None = None, sensors: Iterable[str] | None = None) -> tuple[Stream, ...]:
        """Return the streams of the given modalities and sensors (None: all).

        Raises:
            DataError: nothing matches; the message lists what the folder holds.
        """
        wanted = {"modality": None if modalities is None else set(modalities), "sensor": None if sensors is None else set(sensors)}
        chosen = tuple(s for s in self.streams if all(values is None or getattr(s, name) in values for name, values in wanted.items()))
        if not chosen:
            held = ", ".join(f"{stream.modality} ({stream.sensor})" for stream in self.streams)
            raise DataError(f"{self.folder} has no stream with {wanted}; it holds {held}")
        return chosen


def open_folder(folder: Path | str | RemoteFolder) -> Path | RemoteFolder:
    """Return a path as a `Path` and an address as a `RemoteFolder` with the cache that the environment names.

    Raises:
        DataError: the address has a protocol that is not supported.
        SettingsError: the environment names no usable cache.
    """
    if isinstance(folder, RemoteFolder):
        return folder
    return RemoteFolder(str(folder)) if is_remote(folder) else Path(folder)


def read_member(file: BinaryIO, offset: int, size: int) -> bytes:
    """Return `size` bytes at `offset`, without moving the file's position.

    Raises:
        DataError: the file ends before.
    """
    data = os.pread(file.fileno(), size, offset)
    if len(data) != size:
        raise DataError(f"ends at byte {offset + len(data)}, {size - len(data)} bytes too early; copy it again")
    return data


def _read_shard(folder: Path, record: ShardRecord, places: list[int], teachers: tuple[str, ...]) -> list[Sample]:
    _require_features(folder, record, teachers)
    place = places[0]
    file_name = record.file
    try:
        samples = []
        with (folder / record.file).open("rb", buffering=0) as file:
            for place in places:
                samples.append(_read_sample(file, record, place))
        for teacher in teachers:
            features = record.features[teacher]
            file_name = features.file
            with (folder / features.file).open("rb", buffering=0) as file:
                for number, place in enumerate(places):
                    offset, size, _ = features.members[place].tolist()
                    tokens = decode_features(read_member(file, offset, size))
                    samples[number] = replace(samples[number], features={**samples[number].features, teacher: tokens})
        return samples
    except _READ_ERRORS as error:
        what = error.strerror if isinstance(error, OSError) else error
        where = f"shard {folder / file_name}, key {record.keys[place]}"
        raise DataError(f"{where}: {what}. `geolangbind shards verify {folder}` lists all damage") from None


def _read_sample(file: BinaryIO, record: ShardRecord, place: int) -> Sample:
    data = {e: read_member(file, int(table[place, 0]), int(table[place, 1])) for e, table in record.members.items()}
    return _decode_sample(data, record, place)


def _read_remote(folder: RemoteFolder, asked: Sequence[tuple[ShardRecord, int]], teachers: tuple[str, ...]) -> list[Sample]:
    spans = []
    for record, place in asked:
        _require_features(folder, record, teachers)
        key = record.keys[place]
        spans += [Span(record.file, record.sha256, record.n_bytes, key, *table[place].tolist()) for table in record.members.values()]
        cars = [record.features[teacher] for teacher in teachers]
        spans += [Span(car.file, car.sha256, car.n_bytes, key, *car.members[place].tolist()) for car in cars]
    found = iter(folder.read(spans))
    samples = []
    for record, place in asked:
        try:
            sample = _decode_sample({extension: next(found) for extension in record.members}, record, place)
            samples.append(replace(sample, features={teacher: decode_features(next(found)) for teacher in teachers}))
        except GeoLangBindError as error:
            where = f"shard {folder}/{record.file}, key {record.keys[place]}"
            raise DataError(f"{where}: {error}. `geolangbind shards verify {folder}` lists all damage") from None
    return samples


def _require_features(folder: Path | RemoteFolder, record: ShardRecord, teachers: tuple[str, ...]) -> None:
    lacking = [teacher for teacher in teachers if teacher not in record.features]
    if lacking:
        raise DataError(f"{folder}/{record.file} has no features of {', '.join(lacking)}; run `geolangbind shards add-features`")


def _decode_sample(data: Mapping[str, bytes], record: ShardRecord, place: int) -> Sample:
    """Decode one sample and check it against the layout that the index promises."""
    layout = record.layout
    image = decode_image(data[f"image.{layout.encoding}"], layout.encoding)
    if image.shape != layout.shape or image.dtype.name != layout.dtype:
        raise DataError(f"image is {image.dtype} {image.shape}, the index says {layout.dtype} {layout.shape}")
    mask = decode_mask(data["mask.png"]) if layout.has_mask else None
    meta = SampleMeta.from_json(data["json"])
    for name in ("sensor", "bands", "unit", "scale", "offset"):
        if getattr(meta, name) != getattr(layout, name):
            raise DataError(f"its json and the index differ in {name}: {getattr(meta, name)} and {getattr(layout, name)}")
    return Sample(record.keys[place], image, meta, mask, layout.encoding)


def _check_size(path: Path, expected: int) -> None:
    try:
        found = path.stat().st_size
    except OSError:
        raise DataError(f"{path} is listed in the index but missing; restore it or write the shards again") from None
    if found != expected:
        raise DataError(f"{path} has {found} bytes, the index says {expected}; it is cut off or changed, copy it again")
