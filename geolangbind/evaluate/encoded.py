"""Samples of one modality as a frozen model sees them: encoded once, used by every task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from geolangbind.data.batch import Batch
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
        revision: hash of the shards the samples come from, for random draws that are the same for the same data.
    """

    modality: str
    sensors: tuple[str, ...]
    bands: tuple[str, ...]
    keys: tuple[str, ...]
    vectors: Tensor
    labels: tuple[Mapping[str, Any], ...]
    captions: tuple[tuple[str, ...], ...]
    revision: str = ""

    def __len__(self) -> int:
        return len(self.keys)

    def by_key(self) -> Encoded:
        """The samples in the order of their keys, which random draws shall not hang on."""
        order = sorted(range(len(self)), key=self.keys.__getitem__)
        labels, captions = tuple(self.labels[i] for i in order), tuple(self.captions[i] for i in order)
        return replace(self, keys=tuple(sorted(self.keys)), vectors=self.vectors[order], labels=labels, captions=captions)


def encode_streams(
    embedder: Embedder, streams: Sequence[Stream], batch_size: int = 128, workers: int = 0, bands: Sequence[str] = ()
) -> Encoded:
    """Encode every sample of streams of one modality, in order; batch size and workers change nothing but speed and memory.

    Args:
        embedder: the model.
        streams: of one modality.
        batch_size: samples per batch.
        workers: processes that read.
        bands: show the model only these bands, in this order; all if empty.

    Raises:
        DataError: no stream, several modalities, a band that a stream lacks, or a shard that cannot be read.
        GeoLangBindError: the model cannot see these images.
    """
    if len({stream.modality for stream in streams}) != 1:
        raise DataError(f"streams of one modality are encoded together, got {[stream.modality for stream in streams]}")
    batches = chain.from_iterable(_chosen(stream, iterate_all(stream, batch_size, workers=workers), bands) for stream in streams)
    revision = sha256("\n".join(shard.sha256 for stream in streams for shard in stream.shards).encode()).hexdigest()
    return encode_batches(embedder, batches, revision)


@torch.no_grad()
def encode_batches(embedder: Embedder, batches: Iterable[Batch], revision: str = "") -> Encoded:
    """Encode batches of one modality, in order.

    Raises:
        DataError: there is none.
        GeoLangBindError: the model cannot see these images.
    """
    vectors: list[Tensor] = []
    keys: list[str] = []
    labels: list[Mapping[str, Any]] = []
    captions: list[tuple[str, ...]] = []
    seen: dict[str, dict[str, None]] = {"modality": {}, "sensors": {}, "bands": {}}
    for batch in batches:
        vectors.append(embedder.images(batch))
        keys += batch.keys
        labels += [{task: values[i] for task, values in batch.labels.items()} for i in range(len(batch))]
        captions += batch.captions
        seen["modality"][batch.modality] = seen["sensors"][batch.sensor] = None
        seen["bands"] |= dict.fromkeys(batch.bands)
    if not vectors:
        raise DataError("there is no sample to encode")
    return Encoded(
        next(iter(seen["modality"])), tuple(seen["sensors"]), tuple(seen["bands"]), tuple(keys), torch.cat(vectors), tuple(labels),
        tuple(captions), revision,
    )  # fmt: skip


def _chosen(stream: Stream, batches: Iterator[Batch], bands: Sequence[str]) -> Iterator[Batch]:
    if missing := [band for band in bands if band not in stream.bands]:
        raise DataError(f"{stream.sensor} in {stream.folder} has no band {', '.join(missing)}; it has {', '.join(stream.bands)}")
    indices = [stream.bands.index(band) for band in bands]
    return (batch.with_bands(indices) for batch in batches) if bands else batches
