"""Zero-shot classification: images against the mean vector of each class's sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from geolangbind.data.batch import Batch
from geolangbind.data.loader import iterate_all
from geolangbind.data.shards import Stream
from geolangbind.errors import DataError
from geolangbind.evaluate.metrics import top1, wilson_interval
from geolangbind.evaluate.prompts import prompts
from geolangbind.model import GeoLangBind


@dataclass(frozen=True)
class Accuracy:
    """A top-1 accuracy.

    Attributes:
        top1: share in [0, 1].
        n: images.
        low: lower end of the 95 % Wilson interval.
        high: upper end.
        chance: one over the number of classes.
    """

    top1: float
    n: int
    low: float
    high: float
    chance: float


def class_vectors(model: GeoLangBind, classes: Mapping[str, Sequence[str]], modality: str) -> Tensor:
    """Unit vectors (K, D) of K classes: the normalised mean over each class's sentences."""
    vectors = [model.encode_text(prompts(phrases, modality)).mean(0) for phrases in classes.values()]
    return F.normalize(torch.stack(vectors), dim=-1)


def stream_vectors(model: GeoLangBind, stream: Stream, batch_size: int = 128) -> tuple[Tensor, list[dict[str, object]]]:
    """Encode every sample of a stream, see `batch_vectors`."""
    return batch_vectors(model, iterate_all(stream, batch_size))


@torch.no_grad()
def batch_vectors(model: GeoLangBind, batches: Iterable[Batch]) -> tuple[Tensor, list[dict[str, object]]]:
    """Encode batches.

    Returns:
        (N, D) unit vectors and the labels of each sample.
    """
    vectors: list[Tensor] = []
    labels: list[dict[str, object]] = []
    for batch in batches:
        vectors.append(model.encode_physical(batch.image, batch.channels, batch.sensor, batch.bands, batch.valid))
        labels += [{task: values[i] for task, values in batch.labels.items()} for i in range(len(batch))]
    return torch.cat(vectors), labels


def zero_shot(model: GeoLangBind, streams: Sequence[Stream], classes: Mapping[str, Sequence[str]], label: str) -> Accuracy:
    """Top-1 accuracy over streams of one modality.

    Args:
        model: in inference mode.
        streams: of one modality; their samples count alike.
        classes: phrases by class name, in the order of the scores.
        label: which label of the samples is the truth.

    Raises:
        DataError: a sample has no such label, or one that is no class.
    """
    prototypes = class_vectors(model, classes, streams[0].modality)
    scores: list[NDArray[np.float32]] = []
    truth: list[object] = []
    for stream in streams:
        vectors, labels = stream_vectors(model, stream)
        scores.append((vectors @ prototypes.T).cpu().numpy())
        truth += [row.get(label) for row in labels]
        if unknown := [value for value in truth if str(value) not in classes]:
            raise DataError(f"a {stream.modality} sample has {label}={unknown[0]!r}, which is none of {', '.join(classes)}")
    return accuracy(np.concatenate(scores), truth, classes)


def accuracy(scores: NDArray[np.floating], truth: Sequence[object], classes: Iterable[str]) -> Accuracy:
    """Top-1 accuracy of scores (N, K) against true classes, one of `classes` (K of them, in the order of the scores) each."""
    numbers = {name: number for number, name in enumerate(classes)}
    share = top1(scores, np.array([numbers[str(value)] for value in truth]))
    low, high = wilson_interval(share, len(truth))
    return Accuracy(share, len(truth), low, high, 1 / len(numbers))
