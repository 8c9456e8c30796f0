"""Batches from indexed shards: for training, the batch of any step; for evaluation, every sample once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from geolangbind.data.batch import Batch
from geolangbind.data.faults import Problem, too_many
from geolangbind.data.order import MixtureOrder
from geolangbind.data.places import Places, split
from geolangbind.data.replace import read_batch
from geolangbind.data.shards import Stream
from geolangbind.errors import DataError, GeoLangBindError, SettingsError


@dataclass(frozen=True)
class _Batches(Dataset["Batch | GeoLangBindError"]):
    """Map-style dataset whose item is the whole batch of a step, so that batches do not depend on the number of workers."""

    streams: Sequence[Stream]
    order: MixtureOrder
    rank: int
    world_size: int
    teachers: tuple[str, ...]
    places: Places | None
    max_skipped: int

    def __getitem__(self, step: int) -> Batch | GeoLangBindError:
        try:
            stream, samples = self.order.batch(step, self.rank, self.world_size)
            batch, replaced = read_batch(self.streams[stream], samples, self.teachers, self.max_skipped)
            return batch if self.places is None else self._with_partner(batch, replaced, self.places, step)
        except GeoLangBindError as error:
            return error  # raised in the main process: a worker would bury the one-line message under its traceback

    def _with_partner(self, batch: Batch, replaced: tuple[int, ...], places: Places, step: int) -> Batch:
        partner = places.partner(step, *self.order.batch(step))  # of the whole batch, so that all ranks find the same
        mine = None if partner is None else split(partner, self.order.batch_size, self.rank, self.world_size)
        if mine is None:
            return batch
        stream, samples, rows = places.streams[mine.stream], mine.samples, mine.rows
        seen, lost = read_batch(stream, samples, (), self.max_skipped)
        skipped = batch.skipped + seen.skipped
        paired = ~np.isin(rows, replaced) & ~np.isin(np.arange(len(rows)), lost)  # what stands in shows another place
        if not paired.all():
            if not paired.any():
                raise DataError(f"step {step}: no sample with a second sensor can be read; the first is bad: {skipped[0]}")
            # as many images as before, for all processes encode equally many; those without a pair go to the end
            rest = np.setdiff1d(np.arange(len(samples)), np.flatnonzero(paired))
            seen, _ = read_batch(stream, samples[[*np.flatnonzero(paired), *rest]], (), self.max_skipped)
        return replace(batch, partner=seen, partner_rows=tuple(rows[paired].tolist()), skipped=skipped)


@dataclass(frozen=True)
class _InOrder(Dataset["Batch | GeoLangBindError"]):
    """Item n holds samples n * batch_size and following of one stream."""

    stream: Stream
    batch_size: int
    teachers: tuple[str, ...]
    max_skipped: int

    def __getitem__(self, number: int) -> Batch | GeoLangBindError:
        first = number * self.batch_size
        samples = np.arange(first, min(first + self.batch_size, len(self.stream)), dtype=np.int64)
        try:
            return read_batch(self.stream, samples, self.teachers, self.max_skipped)[0]
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
    max_skipped: int = 0,
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
        max_skipped: most different bad samples that are replaced, see `replace.read_batch`; `Batch.skipped` tells which. 0 for none.

    Raises:
        SettingsError: order and streams do not fit, or the steps run backwards.
        DataError: a sample is bad, or more than `max_skipped` are; the message names shard and key.
    """
    sizes = tuple(len(stream) for stream in streams)
    if order.sizes != sizes:
        raise SettingsError(f"the order was made for streams of {order.sizes} samples, these have {sizes}")
    if not 0 <= start_step <= stop_step:
        raise SettingsError(f"cannot run from step {start_step} to {stop_step}")
    order.batch(start_step, rank, world_size)  # a wrong rank or batch size fails here, not in a worker
    batches = _Batches(tuple(streams), order, rank, world_size, tuple(teachers), places, max_skipped)
    return _run(batches, range(start_step, stop_step), workers, max_skipped)


def iterate_all(
    stream: Stream, batch_size: int, *, workers: int = 0, teachers: Iterable[str] = (), max_skipped: int = 0
) -> Iterator[Batch]:
    """Yield every sample of `stream` once, in order; the last batch may be smaller. For evaluation and feature extraction.

    Args:
        stream: the samples.
        batch_size: samples per batch.
        workers: as in `make_loader`.
        teachers: as in `make_loader`.
        max_skipped: as in `make_loader`: a bad sample's place is then taken by another, which comes twice.

    Raises:
        SettingsError: `batch_size` is below 1.
        DataError: a sample is bad, or more than `max_skipped` are; the message names shard and key.
    """
    if batch_size < 1:
        raise SettingsError(f"batch_size must be at least 1, got {batch_size}")
    batches = _InOrder(stream, batch_size, tuple(teachers), max_skipped)
    return _run(batches, range(-(-len(stream) // batch_size)), workers, max_skipped)


def _run(batches: Dataset[Batch | GeoLangBindError], items: range, workers: int, max_skipped: int) -> Iterator[Batch]:
    # a generator of its own: else each loader would draw from torch's global one, and a resumed run would differ from an unbroken one
    loader = DataLoader(batches, batch_size=None, sampler=items, num_workers=workers, generator=torch.Generator())
    skipped: dict[Problem, None] = {}
    for item in loader:
        if isinstance(item, GeoLangBindError):
            raise item
        skipped.update(dict.fromkeys(item.skipped))
        if len(skipped) > max_skipped:
            raise too_many(skipped, max_skipped)
        yield item
