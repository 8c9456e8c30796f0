"""Samples of one place seen by other sensors: for each training step a second sensor, a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geolangbind.data.shards import Stream
from geolangbind.errors import SettingsError

_PARTNER = 2  # purpose number of the random words, beside those of `order`


def place_of(key: str) -> str:
    """The place that a sample shows: its key behind the first `-` (`sar-0-0000012` and `rgb-0-0000012` show `0-0000012`), else the key."""
    return key.partition("-")[2] or key


@dataclass(frozen=True)
class Partner:
    """What a step sees beside its batch.

    Attributes:
        stream: number of the partner stream.
        rows: positions in the batch whose place that stream has too, ascending.
        samples: its samples of those places, in the same order; more than rows only after `split`.
    """

    stream: int
    rows: NDArray[np.int64]
    samples: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Places:
    """Which samples of several streams show the same place.

    Attributes:
        streams: those that training draws from, first, then any others that may be partners.
        may_partner: per stream, whether it may be the second sensor.
        share: share of steps that see a second sensor, in (0, 1].
        seed: of the run.
    """

    streams: Sequence[Stream]
    may_partner: Sequence[bool]
    share: float
    seed: int

    def require_pairs(self, trained: int) -> None:
        """Check that a second sensor can be found at all for one of the first `trained` streams.

        Raises:
            SettingsError: no place is in two streams of different modality.
        """
        for number in range(trained):
            for other, found in enumerate(self._found):
                if self._eligible(number, other) and not found.keys().isdisjoint(self._found[number]):
                    return
        raise SettingsError(
            "cross_sensor.weight is above 0, but no place is seen by two modalities: samples of one place share their key behind the first "
            "'-' (rgb-0001, sar-0001). Set cross_sensor.weight=0, or choose cross_sensor.modalities that show the same places"
        )

    def partner(self, step: int, stream: int, samples: Sequence[int] | NDArray[np.int64]) -> Partner | None:
        """The second sensor of a step: a modality drawn evenly among those that share places with the batch, then one of its streams.

        Args:
            step: number of the step.
            stream: where the batch comes from.
            samples: its samples, of all processes.

        Returns:
            None in steps without a second sensor.
        """
        share, which, part = np.random.Philox(np.random.SeedSequence([self.seed, _PARTNER, step])).random_raw(3) / 2.0**64
        if share >= self.share:
            return None
        shards, numbers = self.streams[stream].locate(samples)
        held = self.streams[stream].shards
        places = [place_of(held[shard].keys[number]) for shard, number in zip(shards, numbers, strict=True)]
        options: dict[str, list[Partner]] = {}
        for other, found in enumerate(self._found):
            if self._eligible(stream, other):
                rows = [row for row, place in enumerate(places) if place in found]
                if rows:
                    partner = Partner(other, np.array(rows, np.int64), np.array([found[places[row]] for row in rows], np.int64))
                    options.setdefault(self.streams[other].modality, []).append(partner)
        if not options:
            return None
        chosen = options[sorted(options)[int(which * len(options))]]
        covered = np.cumsum([len(partner.rows) for partner in chosen])
        return chosen[int(np.searchsorted(covered, part * covered[-1], side="right"))]

    def _eligible(self, stream: int, other: int) -> bool:
        return self.may_partner[other] and self.streams[other].modality != self.streams[stream].modality

    @cached_property
    def _found(self) -> tuple[dict[str, int], ...]:
        """Sample number by place, per stream."""
        tables = []
        for stream in self.streams:
            keys = (key for shard in stream.shards for key in shard.keys)
            tables.append({place_of(key): number for number, key in enumerate(keys)})
        return tuple(tables)


def split(partner: Partner, batch_size: int, rank: int, world_size: int) -> Partner | None:
    """The part of `partner` that belongs to the rows of `rank`, counted from its first row.

    Processes encode together or not at all, and equally often: all get as many samples as the one with the most rows, the surplus being
    its first sample again.

    Returns:
        None for all ranks if one of them would have no row.
    """
    share = batch_size // world_size
    owner = partner.rows // share
    counts = np.bincount(owner, minlength=world_size)
    if not counts.all():
        return None
    rows, samples = partner.rows[owner == rank] - rank * share, partner.samples[owner == rank]
    return Partner(partner.stream, rows, np.concatenate([samples, samples[:1].repeat(counts.max() - len(rows))]))
