"""Samples of one modality as a frozen model sees them: encoded once, used by every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geolangbind.data.loader import iterate_all
from geolangbind.data.shards import Stream
from geolangbind.errors import DataError
from geolangbind.evaluate.embedder import Embedder


@dataclass(frozen=True, eq=False)
class Encoded:
    """Vectors of the samples of one modality, with what tasks need to know of each.

    Attributes:
        modality: rgb, sar, msi, hsi, ir or dem.
        sensors: names of the sensors.
        bands: band names.
        keys: sample keys.
        vectors: (N, D) float32 unit vectors.
        labels: by sample, JSON values by task.
        captions: by sample.
    """

    modality: str
    sensors: tuple[str, ...]
    bands: tuple[str, ...]
    keys: tuple[str, ...]
    vectors: Tensor
    labels: tuple[Mapping[str, Any], ...]
    captions: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.keys)


@torch.no_grad()
def encode_streams(embedder: Embedder, streams: Sequence[Stream], batch_size: int = 128, workers: int = 0) -> Encoded:
    """Encode every sample of streams of one modality, in order; batch size and workers change nothing but speed and memory.

    Raises:
        DataError: no stream, several modalities, or a shard cannot be read.
        GeoLangBindError: the model cannot see these images.
    """
    if len({stream.modality for stream in streams}) != 1:
        raise DataError(f"streams of one modality are encoded together, got {[stream.modality for stream in streams]}")
    vectors: list[Tensor] = []
    keys: list[str] = []
    labels: list[Mapping[str, Any]] = []
    captions: list[tuple[str, ...]] = []
    for stream in streams:
        for batch in iterate_all(stream, batch_size, workers=workers):
            vectors.append(embedder.images(batch))
            keys += batch.keys
            labels += [{task: values[i] for task, values in batch.labels.items()} for i in range(len(batch))]
            captions += batch.captions
    return Encoded(
        modality=streams[0].modality,
        sensors=tuple(dict.fromkeys(stream.sensor for stream in streams)),
        bands=tuple(dict.fromkeys(band for stream in streams for band in stream.bands)),
        keys=tuple(keys),
        vectors=torch.cat(vectors),
        labels=tuple(labels),
        captions=tuple(captions),
    )
