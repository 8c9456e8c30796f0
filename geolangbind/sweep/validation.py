"""A validation set in memory, and the zero-shot accuracy of one model on it after another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolangbind.data.batch import Batch
from geolangbind.data.loader import iterate_all
from geolangbind.data.shards import ShardSet, Stream
from geolangbind.errors import DataError
from geolangbind.evaluate.metrics import Accuracy, accuracy
from geolangbind.evaluate.prompts import label_phrases, prompts_hash
from geolangbind.evaluate.suite import Labelled
from geolangbind.evaluate.zero_shot import class_vectors
from geolangbind.model import GeoLangBind
from geolangbind.sensors.channels import ChannelSet
from geolangbind.sensors.records import MODALITIES
from geolangbind.statistics import Statistics

_BATCH = 128
_KEPT_BYTES = 4 << 30


@dataclass(frozen=True, eq=False)
class Prepared:
    """A batch ready for the encoder.

    Attributes:
        image: (B, C, H, W) float32, normalised.
        channels: C channels.
        valid: (B, H, W) bool, or None where all is valid.
        truth: (B,) class numbers.
    """

    image: Tensor
    channels: ChannelSet
    valid: Tensor | None
    truth: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Validation:
    """Labelled shards, decoded and normalised once where they fit into memory.

    Attributes:
        suite: what is measured.
        classes: phrases by class name.
        revision: fingerprint of the data.
        synthetic: whether the data is.
        streams: by modality.
        statistics: how the models normalise; the same for all of them.
        kept: prepared batches by modality; None when they are too large and are read anew each time.
    """

    suite: Labelled
    classes: Mapping[str, tuple[str, ...]]
    revision: str
    synthetic: bool
    streams: Mapping[str, tuple[Stream, ...]]
    statistics: Statistics
    kept: Mapping[str, tuple[Prepared, ...]] | None = None

    def batches(self, modality: str) -> Iterator[Prepared]:
        """Yield every sample of a modality once, in order.

        Raises:
            DataError: a sample cannot be read, or has no label that is a class.
            UnitError: the models were never taught one of its physical kinds.
        """
        if self.kept is not None:
            yield from self.kept[modality]
            return
        for stream in self.streams[modality]:
            for batch in iterate_all(stream, _BATCH):
                image, _ = self.statistics.normalize(batch.image, batch.channels, batch.sensor, batch.bands, batch.valid)
                yield Prepared(image, batch.channels, batch.valid, _truth(batch, list(self.classes), self.suite.label))

    def prompts(self) -> dict[str, str]:
        """Hash of the prompts by modality."""
        return {modality: prompts_hash(self.classes, modality) for modality in self.streams}


@dataclass(frozen=True, eq=False)
class Score(Accuracy):
    """Accuracy in one modality.

    Attributes:
        right: (N,) bool, which images were classified correctly, so that two models can be compared image by image.
    """

    right: NDArray[np.bool_]


def open_validation(suite: Labelled, statistics: Statistics, keep_bytes: int = _KEPT_BYTES) -> Validation:
    """Open labelled shards.

    Args:
        suite: labelled shards.
        statistics: of the models to be measured.
        keep_bytes: decoded images are kept in memory up to this size.

    Raises:
        DataError: no shards there, or they lack labels or a modality; see also `Validation.batches`.
    """
    shards = ShardSet.open(suite.data)
    streams: dict[str, tuple[Stream, ...]] = {}
    for stream in sorted(shards.select(modalities=suite.modalities or None), key=lambda stream: MODALITIES.index(stream.modality)):
        streams[stream.modality] = (*streams.get(stream.modality, ()), stream)
    found = Validation(
        suite, label_phrases(shards, suite.label), shards.fingerprint, bool(shards.index.provenance.get("synthetic")), streams, statistics
    )
    size = sum(4 * len(stream) * math.prod(stream.shape) for members in streams.values() for stream in members)
    if size > keep_bytes:
        return found
    kept = {modality: tuple(found.batches(modality)) for modality in streams}
    return Validation(**{**vars(found), "kept": kept})


def _truth(batch: Batch, names: list[str], label: str) -> NDArray[np.int64]:
    told = [str(value) for value in batch.labels.get(label, (None,) * len(batch))]
    if wrong := sorted(set(told) - set(names)):
        raise DataError(f"a {batch.modality} sample has {label}={wrong[0]!r}, which is none of {', '.join(names)}")
    return np.array([names.index(name) for name in told], np.int64)


def text_vectors(model: GeoLangBind, validation: Validation) -> dict[str, Tensor]:
    """Class vectors (K, D) by modality; the same for all models that share a text tower."""
    return {modality: class_vectors(model, validation.classes, modality) for modality in validation.streams}


@torch.no_grad()
def score(model: GeoLangBind, validation: Validation, prototypes: Mapping[str, Tensor]) -> dict[str, Score]:
    """Zero-shot top-1 accuracy by modality, the numbers that `evaluate.run.run_suite` gives.

    Args:
        model: in inference mode.
        validation: opened with this model's statistics.
        prototypes: see `text_vectors`.
    """
    found = {}
    for modality, vectors in prototypes.items():
        encoded, truths = [], []
        for batch in validation.batches(modality):
            encoded.append(model.encode_channels(batch.image, batch.channels, batch.valid))
            truths.append(batch.truth)
        table, truth = (torch.cat(encoded) @ vectors.T).numpy(), np.concatenate(truths)
        right = table[np.arange(len(truth)), truth] >= table.max(axis=1)
        found[modality] = Score(**vars(accuracy(table, truth)), right=right)
    return found
