"""Teacher features computed once and kept beside the shards, so that training needs no teacher at hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from geolangbind.data.features import index_features, write_features
from geolangbind.data.index import FeatureRecord, ShardRecord
from geolangbind.data.loader import iterate_all
from geolangbind.data.shards import ShardSet, Stream
from geolangbind.teachers import Teacher, load_teacher, see_all

_INDEX_EVERY_S = 30.0
Progress = Callable[[Sequence[ShardRecord]], Iterable[ShardRecord]]


def add_features(folder: Path | str, sources: Mapping[str, str], *, batch_size: int = 128, progress: Progress | None = None) -> int:
    """Add the features of teachers to every shard of a folder; shards that have them from the same teacher are left alone.

    The index is updated every half minute: an interrupted call continues about where it stopped.

    Args:
        folder: of shards with an index.
        sources: teacher sources by name, see `geolangbind.teachers`.
        batch_size: images per teacher call.
        progress: wraps the sequence of shards, e.g. `rich.progress.track`.

    Returns:
        How many shard-teacher pairs were computed.

    Raises:
        CheckpointError: a teacher cannot be loaded.
        DataError: the shards cannot be read.
    """
    teachers = [load_teacher(name, source) for name, source in sources.items()]
    folder = Path(folder)
    shards = ShardSet.open(folder).index.shards
    written, indexed = 0, time.monotonic()
    pending: list[FeatureRecord] = []
    try:
        for shard in shards if progress is None else progress(shards):
            due = [teacher for teacher in teachers if not _has(shard, teacher)]
            pending += _compute(folder, shard, due, batch_size) if due else []
            written += len(due)
            if pending and time.monotonic() - indexed > _INDEX_EVERY_S:
                index_features(folder, pending)
                pending, indexed = [], time.monotonic()
    finally:
        if pending:
            index_features(folder, pending)
    return written


def _has(shard: ShardRecord, teacher: Teacher) -> bool:
    record = shard.features.get(teacher.name)
    return record is not None and record.provenance.get("teacher") == teacher.identity


def _compute(folder: Path, shard: ShardRecord, teachers: Sequence[Teacher], batch_size: int) -> list[FeatureRecord]:
    batches = list(iterate_all(Stream(folder, (shard,)), batch_size))
    by_name = {teacher.name: teacher for teacher in teachers}
    seen = [see_all(by_name, batch.image, batch.channels, batch.valid) for batch in batches]
    records = []
    for teacher in teachers:
        tokens = [features[teacher.name].numpy() for features in seen]
        rows = ((key, row) for batch, block in zip(batches, tokens, strict=True) for key, row in zip(batch.keys, block, strict=True))
        records.append(write_features(folder, shard, teacher.name, rows, {"teacher": teacher.identity, "size_px": teacher.size_px}))
    return records
