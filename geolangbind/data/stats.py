"""What a folder of shards holds: counts, shapes and the distribution of values per band, in canonical units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from geolangbind.data.loader import iterate_all
from geolangbind.data.shards import ShardSet, Stream
from geolangbind.sensors.units import Unit

_BATCH_SIZE = 64


@dataclass(frozen=True, eq=False)
class StreamStats:
    """Figures of one stream.

    Attributes:
        sensor: name of the sensor record.
        modality: rgb, sar, msi, hsi, ir or dem.
        bands: band names, length C.
        unit: canonical unit of the values below.
        shape: (C, H, W).
        samples: number of samples.
        captions: number of captions over all samples.
        n_bytes: bytes of the tars.
        teachers: teachers with stored features.
        valid_fraction: share of pixels with data.
        mean: float64 (C,), over valid pixels; so are the following.
        std: population standard deviation.
        low: smallest value.
        high: largest value.
    """

    sensor: str
    modality: str
    bands: tuple[str, ...]
    unit: Unit
    shape: tuple[int, int, int]
    samples: int
    captions: int
    n_bytes: int
    teachers: tuple[str, ...]
    valid_fraction: float
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def stats(folder: Path | str, progress: Callable[[Sequence[Stream]], Iterable[Stream]] | None = None) -> tuple[StreamStats, ...]:
    """Read every sample of `folder` once and return the figures of each stream.

    Raises:
        DataError: the folder has no index, or a shard cannot be read.
    """
    streams = ShardSet.open(folder).streams
    return tuple(stream_stats(stream) for stream in (progress or iter)(streams))


def stream_stats(stream: Stream) -> StreamStats:
    """Return the figures of one stream, in one pass and bounded memory.

    Mean and variance are combined batch by batch (Chan, Golub and LeVeque 1983), which keeps kelvins and metres exact where a plain sum of
    squares would not be.
    """
    count, captions = 0, 0
    channels = stream.shape[0]
    mean, squares = np.zeros(channels), np.zeros(channels)
    low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
    unit = stream.unit
    for batch in iterate_all(stream, _BATCH_SIZE):
        unit = batch.unit
        values = batch.image.movedim(1, 0).flatten(1)
        if batch.valid is not None:
            values = values[:, batch.valid.flatten()]
        added = values.shape[1]
        variance, center = (part.numpy().astype(np.float64) for part in torch.var_mean(values.double(), dim=1, correction=0))
        shift = center - mean
        squares += variance * added + shift**2 * (count * added / (count + added))
        mean += shift * (added / (count + added))
        count += added
        low, high = np.minimum(low, values.amin(dim=1).numpy()), np.maximum(high, values.amax(dim=1).numpy())
        captions += sum(len(texts) for texts in batch.captions)
    pixels = len(stream) * stream.shape[1] * stream.shape[2]
    return StreamStats(
        sensor=stream.sensor, modality=stream.modality, bands=stream.bands, unit=unit, shape=stream.shape, samples=len(stream),
        captions=captions, n_bytes=sum(shard.n_bytes for shard in stream.shards), teachers=stream.teachers,
        valid_fraction=count / pixels, mean=mean, std=np.sqrt(squares / count), low=low, high=high,
    )  # fmt: skip


def render_stats(rows: Iterable[StreamStats]) -> Table:
    """Return one line per stream; value columns are over all its bands."""
    table = Table("modality", "sensor", "samples", "image", "unit", "mean", "std", "min", "max", "valid", "captions", "features", "MB")
    for row in rows:
        spread = float(np.sqrt(np.mean(row.std**2 + (row.mean - row.mean.mean()) ** 2)))
        figures = (f"{value:.4g}" for value in (row.mean.mean(), spread, row.low.min(), row.high.max()))
        table.add_row(
            row.modality, row.sensor, str(row.samples), "x".join(map(str, row.shape)), row.unit, *figures, f"{row.valid_fraction:.1%}",
            str(row.captions), ", ".join(row.teachers) or "none", f"{row.n_bytes / 1e6:.1f}",
        )  # fmt: skip
    return table


def render_bands(row: StreamStats) -> Table:
    """Return one line per band of a stream."""
    table = Table("band", "mean", "std", "min", "max", title=f"{row.sensor}, {row.unit}", title_justify="left")
    for band, *figures in zip(row.bands, row.mean, row.std, row.low, row.high, strict=True):
        table.add_row(band, *(f"{value:.4g}" for value in figures))
    return table
