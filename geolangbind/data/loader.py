"""Batches from indexed shards: for training, the batch of any step; for evaluation, every sample once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from geolangbind.data.batch import Batch, collate
from geolangbind.data.buffers import Buffers
from geolangbind.data.order import MixtureOrder
from geolangbind.data.places import Places, split
from geolangbind.data.shards import Stream
from geolangbind.errors import GeoLangBindError, SettingsError


@dataclass(frozen=True)
class _Batches(Dataset["Batch | GeoLangBindError"]):
    """Map-style dataset whose item is the whole batch of a step, so that batches do not depend on the number of workers."""

    streams: Sequence[Stream]
    order: MixtureOrder
    rank: int
    world_size: int
    teachers: tuple[str, ...]
    places: Places | None
    buffers: Buffers = field(default_factory=Buffers)

    def __getitem__(self, step: int) -> Batch | GeoLangBindError:
        try:
            stream, samples = self.order.batch(step, self.rank, self.world_size)
            batch = collate(self.streams[stream].read_many(samples, self.teachers, self.buffers), self.buffers)
            return batch if self.places is None else self._with_partner(batch, self.places, step)
        except GeoLangBindError as error:
            return error  # raised in the main process: a worker would bury the one-line message under its traceback

    def _with_partner(self, batch: Batch, places: Places, step: int) -> Batch:
        partner = places.partner(step, *self.order.batch(step))  # of the whole batch, so that all ranks find the same
        mine = None if partner is None else split(partner, self.order.batch_size, self.rank, self.world_size)
        if mine is None:
            return batch
        seen = collate(places.streams[mine.stream].read_many(mine.samples, (), self.buffers), self.buffers)
        return replace(batch, partner=seen, partner_rows=tuple(mine.rows.tolist()))


@dataclass(frozen=True)
class _InOrder(Dataset["Batch | GeoLangBindError"]):
    """Item n holds samples n * batch_size and following of one stream."""

    stream: Stream
    batch_size: int
    teachers: tuple[str, ...]
    buffers: Buffers = field(default_factory=Buffers)

    def __getitem__(self, number: int) -> Batch | GeoLangBindError:
        first = number * self.batch_size
        samples = np.arange(first, min(first + self.batch_size, len(self.stream)), dtype=np.int64)
        try:
            return collate(self.stream.read_many(samples, self.teachers, self.buffers), self.buffers)
        except GeoLangBindError as error:
            return error


def make_loader(
    streams: Sequence[Stream],
    order: MixtureOrder,
    *,
    start_step: int,
    stop_step: int,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 0,
    teachers: Iterable[str] = (),
    places: Places | None = None,
) -> Iterator[Batch]:
    """Yield this rank's share of the batches of steps `start_step` to `stop_step`, the same ones whatever `workers` is.

    Args:
        streams: what the order's stream numbers stand for, for example `ShardSet.open(folder).select(modalities=["sar"])`.
        order: made with the streams' lengths.
        start_step: first step; resuming needs nothing else.
        stop_step: step after the last one; every rank gets `stop_step - start_step` batches.
        rank: this process.
        world_size: number of processes.
        workers: reading processes; 0 reads in this one.
        teachers: whose stored features to put into the batches.
        places: where a second sensor's images come from, for steps that have one; its streams begin with `streams`.

    Raises:
        SettingsError: order and streams do not fit, or the steps run backwards.
        DataError: a shard cannot be read; the message names shard and key.
    """
    sizes = tuple(len(stream) for stream in streams)
    if order.sizes != sizes:
        raise SettingsError(f"the order was made for streams of {order.sizes} samples, these have {sizes}")
    if not 0 <= start_step <= stop_step:
        raise SettingsError(f"cannot run from step {start_step} to {stop_step}")
    order.batch(start_step, rank, world_size)  # a wrong rank or batch size fails here, not in a worker
    return _run(_Batches(tuple(streams), order, rank, world_size, tuple(teachers), places), range(start_step, stop_step), workers)


def iterate_all(stream: Stream, batch_size: int, *, workers: int = 0, teachers: Iterable[str] = ()) -> Iterator[Batch]:
    """Yield every sample of `stream` once, in order; the last batch may be smaller. For evaluation and feature extraction.

    Raises:
        SettingsError: `batch_size` is below 1.
        DataError: a shard cannot be read; the message names shard and key.
    """
    if batch_size < 1:
        raise SettingsError(f"batch_size must be at least 1, got {batch_size}")
    return _run(_InOrder(stream, batch_size, tuple(teachers)), range(-(-len(stream) // batch_size)), workers)


def _run(batches: Dataset[Batch | GeoLangBindError], items: range, workers: int) -> Iterator[Batch]:
    # a generator of its own: else each loader would draw from torch's global one, and a resumed run would differ from an unbroken one
    loader = DataLoader(batches, batch_size=None, sampler=items, num_workers=workers, generator=torch.Generator())
    for item in loader:
        if isinstance(item, GeoLangBindError):
            raise item
        yield item
