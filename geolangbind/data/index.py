"""`index.json`: what lies where in the tars of a folder, with hashes. Importable without torch."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolangbind.data.remote import RemoteFolder
from geolangbind.data.sample import ENCODINGS, Encoding, Sample
from geolangbind.errors import DataError, UnitError
from geolangbind.sensors.units import Unit

INDEX_NAME = "index.json"
_FORMAT = "geolangbind-shards"
_VERSION = 1


@dataclass(frozen=True)
class Layout:
    """What all samples of one shard share, so that a shard can be batched without looking at each sample.

    Attributes:
        sensor: name of the sensor record.
        modality: rgb, sar, msi, hsi, ir or dem.
        bands: band names in channel order.
        unit: unit after scale and offset.
        scale: physical = stored * scale + offset.
        offset: see `scale`.
        nodata: stored number that means no data ("nan" for NaN), or None.
        shape: (C, H, W).
        dtype: numpy name of the stored dtype.
        encoding: npy, png, jpg or tif.
        has_mask: whether the samples carry a mask.
    """

    sensor: str
    modality: str
    bands: tuple[str, ...]
    unit: Unit
    scale: float
    offset: float
    nodata: float | str | None
    shape: tuple[int, int, int]
    dtype: str
    encoding: Encoding
    has_mask: bool

    @classmethod
    def of(cls, sample: Sample, modality: str) -> Layout:
        """Return the layout of `sample`, whose sensor is of `modality`."""
        meta, (channels, height, width) = sample.meta, sample.image.shape
        nodata = "nan" if meta.nodata is not None and math.isnan(meta.nodata) else meta.nodata
        return cls(
            sensor=meta.sensor, modality=modality, bands=meta.bands, unit=meta.unit, scale=meta.scale, offset=meta.offset, nodata=nodata,
            shape=(channels, height, width), dtype=sample.image.dtype.name, encoding=sample.encoding, has_mask=sample.mask is not None,
        )  # fmt: skip

    @property
    def extensions(self) -> tuple[str, ...]:
        """Members of each sample, in the order of the index."""
        return (f"image.{self.encoding}", "json", *(("mask.png",) if self.has_mask else ()))


@dataclass(frozen=True, eq=False)
class FeatureRecord:
    """One side-car tar `<shard>.<teacher>.tar` of teacher features.

    Attributes:
        shard: file name of the shard it belongs to.
        teacher: name of the teacher.
        file: file name of the side-car.
        sha256: hash of the whole file.
        n_bytes: size of the whole file.
        shape: (N, D) of each sample's tokens.
        members: int64 (samples, 3): offset, size, CRC-32 of the sample's member, in the shard's order.
        provenance: what made the features (weights hash, view, size).
    """

    shard: str
    teacher: str
    file: str
    sha256: str
    n_bytes: int
    shape: tuple[int, int]
    members: NDArray[np.int64]
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ShardRecord:
    """One shard.

    Attributes:
        file: file name in the folder.
        sha256: hash of the whole file.
        n_bytes: size of the whole file.
        layout: what its samples share.
        gsd_m: ground sampling distance in metres; None where samples differ.
        keys: sample keys in the order of the tar.
        members: by extension, int64 (samples, 3): offset, size, CRC-32.
        features: side-cars by teacher.
    """

    file: str
    sha256: str
    n_bytes: int
    layout: Layout
    gsd_m: float | None
    keys: tuple[str, ...]
    members: Mapping[str, NDArray[np.int64]]
    features: Mapping[str, FeatureRecord] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Index:
    """The index of a folder: its shards in order, and where they come from."""

    shards: tuple[ShardRecord, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the shards' hashes: the identity of the data, whatever folder it lies in and whatever features were added."""
        return hashlib.sha256("\n".join(shard.sha256 for shard in self.shards).encode()).hexdigest()

    def with_features(self, records: Sequence[FeatureRecord]) -> Index:
        """Return the index with feature side-cars added; one of the same teacher is replaced.

        Raises:
            DataError: a record belongs to no shard of the index.
        """
        unknown = {record.shard for record in records} - {shard.file for shard in self.shards}
        if unknown:
            raise DataError(f"features for shards that are not in the index: {', '.join(sorted(unknown))}")
        shards = []
        for shard in self.shards:
            added = {record.teacher: record for record in records if record.shard == shard.file}
            shards.append(replace(shard, features={**shard.features, **added}))
        return replace(self, shards=tuple(shards))


def save_index(folder: Path, index: Index) -> None:
    """Write `index.json` under a temporary name, sync it and rename it into place."""
    document = {
        "format": _FORMAT,
        "version": _VERSION,
        "fingerprint": index.fingerprint,
        "provenance": dict(index.provenance),
        "shards": [shard_to_json(shard) for shard in index.shards],
    }
    final, temporary = folder / INDEX_NAME, folder / f".{INDEX_NAME}.{os.getpid()}.tmp"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(document, file, separators=(",", ":"), allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def load_index(folder: Path | RemoteFolder) -> Index:
    """Read `index.json`.

    Raises:
        DataError: no index, one of a later version, or a damaged one; for a remote folder also see `RemoteFolder.fetch`.
    """
    path = f"{folder}/{INDEX_NAME}"
    if isinstance(folder, Path) and not (folder / INDEX_NAME).is_file():
        raise DataError(f"{folder} has no {INDEX_NAME}; write shards with ShardWriter, or read bare tars with stream_tars")
    text = (folder / INDEX_NAME).read_bytes() if isinstance(folder, Path) else folder.fetch(INDEX_NAME)
    try:
        document = json.loads(text.decode("utf-8"))
        if document["format"] != _FORMAT or document["version"] > _VERSION:
            raise DataError(f"{path}: format {document['format']} version {document['version']}; this release reads {_FORMAT} {_VERSION}")
        index = Index(tuple(shard_from_json(raw) for raw in document["shards"]), document["provenance"])
        fingerprint = document["fingerprint"]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, UnitError) as error:
        raise DataError(f"{path} is damaged ({error}); restore it or write the shards again") from None
    if fingerprint != index.fingerprint:
        raise DataError(f"{path} is damaged (its fingerprint does not match its shards); restore it or write the shards again")
    return index


def shard_to_json(shard: ShardRecord) -> dict[str, Any]:
    """Return a shard's entry of `index.json`."""
    layout = {name: getattr(shard.layout, name) for name in Layout.__dataclass_fields__}
    features = {
        teacher: {
            "file": record.file, "sha256": record.sha256, "bytes": record.n_bytes, "shape": record.shape,
            "members": record.members.tolist(), "provenance": dict(record.provenance),
        }
        for teacher, record in shard.features.items()
    }  # fmt: skip
    members = {extension: table.tolist() for extension, table in shard.members.items()}
    return {
        "file": shard.file, "sha256": shard.sha256, "bytes": shard.n_bytes, "count": len(shard.keys), "gsd_m": shard.gsd_m,
        "layout": layout, "keys": shard.keys, "members": members, "features": features,
    }  # fmt: skip


def shard_from_json(raw: dict[str, Any]) -> ShardRecord:
    """Read what `shard_to_json` returned.

    Raises:
        ValueError: an entry that cannot be (also KeyError, TypeError, AttributeError, UnitError).
    """
    layout = raw["layout"]
    fields = {**layout, "bands": tuple(layout["bands"]), "unit": Unit.parse(layout["unit"]), "shape": tuple(layout["shape"])}
    keys = tuple(raw["keys"])
    features = {
        teacher: FeatureRecord(
            raw["file"], teacher, entry["file"], entry["sha256"], entry["bytes"], tuple(entry["shape"]),
            _table(entry["members"], len(keys)), entry["provenance"],
        )
        for teacher, entry in raw["features"].items()
    }  # fmt: skip
    members = {extension: _table(rows, len(keys)) for extension, rows in raw["members"].items()}
    record = ShardRecord(raw["file"], raw["sha256"], raw["bytes"], Layout(**fields), raw["gsd_m"], keys, members, features)
    if record.layout.encoding not in ENCODINGS:
        raise ValueError(f"unknown image encoding '{record.layout.encoding}'")
    if raw["count"] != len(keys) or set(members) != set(record.layout.extensions):
        raise ValueError(f"shard {record.file}: members {sorted(members)} or count {raw['count']} do not fit")
    for name in (record.file, *(entry.file for entry in features.values())):
        if Path(name).name != name:  # an index must not point outside its folder
            raise ValueError(f"'{name}' is no plain file name")
    _require_plain(record)
    for table in members.values():
        _require_inside(record.file, table, record.n_bytes)
    for entry in features.values():
        _require_inside(entry.file, entry.members, entry.n_bytes)
    return record


def _require_plain(record: ShardRecord) -> None:
    """Values of the types that reading relies on: a damaged index must fail here, not in the middle of a run."""
    layout = record.layout
    words = (record.file, record.sha256, layout.sensor, layout.modality, layout.dtype, *layout.bands, *record.keys)
    if not all(isinstance(word, str) for word in words) or not layout.bands or not record.keys:
        raise ValueError(f"shard {record.file}: names, bands and keys must be strings, at least one band and key")
    if len(set(record.keys)) != len(record.keys):
        raise ValueError(f"shard {record.file}: key '{Counter(record.keys).most_common(1)[0][0]}' is listed twice")
    if len(layout.shape) != 3 or not all(isinstance(side, int) and side > 0 for side in (*layout.shape, record.n_bytes)):
        raise ValueError(f"shard {record.file}: shape {layout.shape} or size {record.n_bytes} is impossible")


def _require_inside(file: str, table: NDArray[np.int64], n_bytes: int) -> None:
    offsets, sizes = table[:, 0], table[:, 1]
    if min(offsets.min(), sizes.min()) < 0 or (sizes > n_bytes).any() or (offsets > n_bytes - sizes).any():
        raise ValueError(f"{file}: a member lies outside its {n_bytes} bytes")


def _table(rows: list[list[int]], count: int) -> NDArray[np.int64]:
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    if len(table) != count:
        raise ValueError(f"{len(table)} members for {count} samples")
    return table
