"""Zero-shot classification: images against the mean vector of each class's sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from geolangbind.errors import DataError
from geolangbind.evaluate.bootstrap import bootstrap, weighted_class_mean, weighted_gap, weighted_mean
from geolangbind.evaluate.embedder import Embedder
from geolangbind.evaluate.encoded import Encoded
from geolangbind.evaluate.measure import Measure
from geolangbind.evaluate.metrics import (
    BINS,
    calibration_error,
    confidence_bins,
    confidences,
    confusion,
    hits_among,
    mean_class,
    standing,
    wilson_interval,
)
from geolangbind.evaluate.prompts import prompts, prompts_hash
from geolangbind.model import GeoLangBind

_BLOCK = 1 << 20  # scores in memory at a time


@dataclass(frozen=True, eq=False)
class Judged:
    """What the scores of N samples and K classes say.

    Attributes:
        better: (N,) how many classes score higher than the true one.
        tied: (N,) how many score the same, itself included.
        sure: (N,) largest probability of the softmax.
        confusion: (K, K), see `metrics.confusion`.
    """

    better: NDArray[np.int64]
    tied: NDArray[np.int64]
    sure: NDArray[np.float64]
    confusion: NDArray[np.float64]


def class_vectors(model: GeoLangBind, classes: Mapping[str, Sequence[str]], modality: str) -> Tensor:
    """Unit vectors (K, D) of K classes in the modality's own templates: the normalised mean over each class's sentences."""
    return mean_vectors(model.encode_text, (prompts(phrases, modality) for phrases in classes.values()))


def mean_vectors(encode: Callable[[list[str]], Tensor], sentences: Iterable[list[str]]) -> Tensor:
    """Unit vectors (K, D): for each of K lists of sentences the normalised mean of their vectors."""
    return F.normalize(torch.stack([encode(listed).mean(0) for listed in sentences]), dim=-1)


def class_scores(
    embedder: Embedder, encoded: Encoded, classes: Mapping[str, Sequence[str]], templates: Sequence[str] = ()
) -> NDArray[np.float32]:
    """Cosine similarities (N, K) of samples and classes; the modality's own templates where none are given."""
    scores: NDArray[np.float32] = (encoded.vectors @ _read(embedder, encoded.modality, classes, templates).T).numpy()
    return scores


def _read(embedder: Embedder, modality: str, classes: Mapping[str, Sequence[str]], templates: Sequence[str]) -> Tensor:
    return mean_vectors(embedder.texts, (prompts(phrases, modality, templates) for phrases in classes.values()))


def judge(samples: Tensor, classes: Tensor, truth: NDArray[np.int64], scale: float) -> Judged:
    """Compare samples with classes, some rows at a time: memory does not grow with the matrix of scores.

    Args:
        samples: (N, D) unit vectors.
        classes: (K, D) unit vectors.
        truth: (N,) class numbers.
        scale: of the logits.
    """
    better, tied = np.empty_like(truth), np.empty_like(truth)
    sure, table = np.empty(len(truth)), np.zeros((len(classes),) * 2)
    size = max(1, _BLOCK // len(classes))
    for first in range(0, len(truth), size):
        rows = slice(first, first + size)
        scores = (samples[rows] @ classes.T).numpy()
        better[rows], tied[rows] = standing(scores, truth[rows])
        sure[rows] = confidences(scores, scale)
        table = confusion(scores, truth[rows], table)
    return Judged(better, tied, sure, table)


def true_classes(encoded: Encoded, classes: Iterable[str], label: str) -> NDArray[np.int64]:
    """Number of the true class of each sample.

    Raises:
        DataError: a sample has no such label, or one that is no class.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    told = [row.get(label) for row in encoded.labels]
    if unknown := [value for value in told if str(value) not in numbers]:
        raise DataError(f"a {encoded.modality} sample has {label}={unknown[0]!r}, which is none of {', '.join(numbers)}")
    return np.array([numbers[str(value)] for value in told], np.int64)


def zero_shot(
    embedder: Embedder, encoded: Encoded, classes: Mapping[str, Sequence[str]], label: str, templates: Sequence[str] = ()
) -> list[Measure]:
    """Single-label classification.

    Args:
        embedder: for the sentences, and the scale of its logits.
        encoded: the samples.
        classes: phrases by class name.
        label: which label of the samples is the truth.
        templates: with one `{}` each; the modality's own if empty.

    Returns:
        `top1` with per-class accuracy and confusion, `top5` where there are more than five classes, `mean_class` (mean of the accuracy in
        each class that occurs) and `ece` (expected calibration error of the softmax, lower is better) with the bins of its reliability
        diagram. Shares of samples have Wilson's interval (top1 the bootstrapped one in its details), the others a bootstrapped one.

    Raises:
        DataError: see `true_classes`.
    """
    truth = true_classes(encoded, classes, label)
    found = judge(encoded.vectors, _read(embedder, encoded.modality, classes, templates), truth, embedder.scale)
    count, names, seed = len(truth), list(classes), encoded.revision
    measure = partial(
        Measure, "zero_shot", modality=encoded.modality, n=count, sensors=" ".join(encoded.sensors), bands=" ".join(encoded.bands),
        prompts=prompts_hash(classes, encoded.modality, templates),
    )  # fmt: skip
    hits = hits_among(found.better, found.tied, 1)
    share, chance = float(hits.mean()), 1 / len(names)
    low, high = wilson_interval(share, count)
    details = {"bootstrap": bootstrap(hits[:, None], weighted_mean, seed), **_by_class(found.confusion, truth, names)}
    measures = [measure("top1", value=share, chance=chance, low=low, high=high, details=details)]
    if len(names) > 5:
        share = float(hits_among(found.better, found.tied, 5).mean())
        low, high = wilson_interval(share, count)
        measures.append(measure("top5", value=share, chance=5 / len(names), low=low, high=high))
    low, high = bootstrap(np.stack([truth, hits], axis=1), weighted_class_mean, seed)
    measures.append(measure("mean_class", value=mean_class(hits, truth), chance=chance, low=low, high=high))
    low, high = bootstrap(np.stack([confidence_bins(found.sure), hits - found.sure], axis=1), weighted_gap, seed)
    details = {"scale": embedder.scale, "calibration": _calibration(found.sure, hits)}
    return [*measures, measure("ece", value=calibration_error(found.sure, hits), chance=0.0, low=low, high=high, details=details)]


def _by_class(table: NDArray[np.float64], truth: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """Accuracy with its number of samples for each class that occurs, and the confusion matrix, rows the truth."""
    counts = np.bincount(truth, minlength=len(names))
    per_class = {name: {"accuracy": table[i, i] / counts[i], "n": int(counts[i])} for i, name in enumerate(names) if counts[i]}
    return {"classes": list(names), "per_class": per_class, "confusion": table.round(6).tolist()}


def _calibration(sure: NDArray[np.floating], hits: NDArray[np.floating]) -> dict[str, list[float]]:
    """Reliability diagram: mean confidence, accuracy and number of samples of each bin that has some."""
    bins = confidence_bins(sure)
    counts = np.bincount(bins, minlength=BINS)
    there = counts > 0
    confidence, accuracy = (np.bincount(bins, values, BINS)[there] / counts[there] for values in (sure, hits))
    return {"confidence": confidence.tolist(), "accuracy": accuracy.tolist(), "count": counts[there].tolist()}
