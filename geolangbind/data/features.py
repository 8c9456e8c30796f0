"""Teacher features beside finished shards: one side-car tar per shard and teacher. The shards themselves are never rewritten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolangbind.data.decode import encode_features
from geolangbind.data.index import FeatureRecord, Index, ShardRecord, load_index, save_index
from geolangbind.data.sample import KEY_PATTERN
from geolangbind.data.tars import PendingTar
from geolangbind.errors import DataError


def write_features(
    folder: Path | str, shard: ShardRecord, teacher: str, arrays: Iterable[tuple[str, NDArray[Any]]],
    provenance: Mapping[str, Any] | None = None,
) -> FeatureRecord:  # fmt: skip
    """Write the features of one teacher for one shard as a side-car tar `<shard>.<teacher>.tar`. The shard itself is not touched.

    Args:
        folder: folder of the shard.
        shard: its record.
        teacher: short name of the teacher (letters, digits, `_`, `-`).
        arrays: (key, tokens (N, D)) for every sample, in the shard's order; stored as fp16.
        provenance: what made the features (weights hash, view, size).

    Returns:
        The record to hand to `index_features`, once all shards are done.

    Raises:
        DataError: keys differ from the shard's, shapes differ between samples, or a value does not fit fp16.
    """
    folder = Path(folder)
    if not KEY_PATTERN.fullmatch(teacher) or teacher in ("image", "json", "mask"):
        raise DataError(f"teacher name '{teacher}' must be letters, digits, '_' or '-', and not image, json or mask")
    tar = PendingTar(folder / f"{Path(shard.file).stem}.{teacher}.tar")
    extension, shape = f"{teacher}.safetensors", None
    try:
        for expected, (key, tokens) in zip(shard.keys, arrays, strict=False):
            if key != expected or (shape or tokens.shape) != tokens.shape:
                raise DataError(f"{shard.file}: features of '{key}' {tokens.shape} where '{expected}' {shape or ''} is due")
            shape = tokens.shape
            tar.add(key, {extension: encode_features(tokens)})
        if len(tar.keys) != len(shard.keys) or shape is None:
            raise DataError(f"{shard.file}: features for {len(tar.keys)} of {len(shard.keys)} samples; every sample needs one")
        sha256, n_bytes, found = tar.seal()
        members = np.array([found[f"{key}.{extension}"] for key in shard.keys], dtype=np.int64)
        tar.place()
        return FeatureRecord(shard.file, teacher, tar.path.name, sha256, n_bytes, (shape[0], shape[1]), members, provenance or {})
    finally:
        tar.discard()


def index_features(folder: Path | str, records: Sequence[FeatureRecord]) -> Index:
    """Add feature side-cars to the index of `folder`, atomically.

    Raises:
        DataError: no index, or a record of a shard that it does not list.
    """
    folder = Path(folder)
    index = load_index(folder).with_features(records)
    save_index(folder, index)
    return index
