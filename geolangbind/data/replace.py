"""Batches of equal size from streams with bad samples: each is replaced by the next good one, whatever process or worker reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geolangbind.data.batch import Batch, collate
from geolangbind.data.faults import Problem, too_many
from geolangbind.data.sample import Sample
from geolangbind.data.shards import Stream
from geolangbind.errors import DataError, GeoLangBindError


def read_batch(
    stream: Stream, samples: Sequence[int] | NDArray[np.int64], teachers: Iterable[str] = (), max_skipped: int = 0
) -> tuple[Batch, tuple[int, ...]]:
    """Read and collate samples of a stream.

    Args:
        stream: where they lie.
        samples: their numbers.
        teachers: whose features to read too.
        max_skipped: most bad samples to replace, each by the next good one of the stream; 0 for none.

    Returns:
        The batch, with what was wrong in `skipped`, and the positions of replaced samples in it.

    Raises:
        DataError: a sample is bad and `max_skipped` is 0, or more are; the message names shard and key.
    """
    names, numbers = tuple(teachers), [int(number) for number in samples]
    try:
        loaded = stream.read_many(numbers, names)
    except GeoLangBindError:
        if not max_skipped:
            raise
    else:
        try:
            return collate(loaded), ()
        except GeoLangBindError:
            wrong = [found for found in (_try(stream, number, names) for number in numbers) if isinstance(found, Problem)]
            if not wrong:  # each is good, but they do not belong together
                raise
            if not max_skipped:
                raise DataError(str(wrong[0])) from None
    return _replaced(stream, numbers, names, max_skipped)


def _replaced(stream: Stream, numbers: list[int], teachers: tuple[str, ...], max_skipped: int) -> tuple[Batch, tuple[int, ...]]:
    tried: dict[int, Sample | Problem] = {}
    chosen: list[Sample] = []
    rows: list[int] = []
    for row, wanted in enumerate(numbers):
        for number in range(wanted, wanted + len(stream)):
            number %= len(stream)
            if number not in tried:
                tried[number] = _try(stream, number, teachers)
            problems = [found for found in tried.values() if isinstance(found, Problem)]
            if len(problems) > max_skipped or len(problems) == len(stream):
                raise too_many(problems, max_skipped)
            if isinstance(found := tried[number], Sample):
                chosen.append(found)
                rows += [row] if number != wanted else []
                break
    return replace(collate(chosen), skipped=tuple(problems)), tuple(rows)


def _try(stream: Stream, number: int, teachers: tuple[str, ...]) -> Sample | Problem:
    try:
        sample = stream.read(number, teachers)
        collate([sample])
        return sample
    except GeoLangBindError as error:
        shard, place = (int(found[0]) for found in stream.locate([number]))
        record = stream.shards[shard]
        where = f"shard {stream.folder}/{record.file}, key {record.keys[place]}: "
        return Problem(record.file, record.keys[place], str(error).removeprefix(where))
