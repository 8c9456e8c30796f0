"""Metrics of single-label classification and the interval of a share. Pure functions of arrays; ties count in expectation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

METRICS_VERSION = "1"
"""Changes whenever a metric gives another number for the same scores; part of every settings hash."""
BINS = 15
"""Of confidence, in the calibration error; the usual number (Guo et al. 2017, arXiv 1706.04599)."""
TIE = 1e-6
"""Scores this near are equal. The product of equal float32 vectors differs by some 1e-7 with their place in the matrix, and a model that
tells nothing apart would otherwise be ranked by where its samples stand."""
_Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Accuracy:
    """A top-1 accuracy.

    Attributes:
        top1: share in [0, 1].
        n: images.
        low: lower end of the 95 % Wilson interval.
        high: upper end.
    """

    top1: float
    n: int
    low: float
    high: float


def standing(scores: NDArray[np.floating], truth: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many candidates score better than the true one, and how many the same (see `TIE`), itself included.

    Args:
        scores: (N, K) cosine similarities or the like, higher is better.
        truth: (N,) number of the true candidate.
    """
    own = np.take_along_axis(scores, truth[:, None], axis=1)
    better = np.count_nonzero(scores > own + TIE, axis=1)
    return better, np.count_nonzero(scores >= own - TIE, axis=1) - better


def hits_among(better: NDArray[np.integer], tied: NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """Probability (N,) that the true candidate is among the best k, where equal scores stand in random order; see `standing`."""
    return np.asarray(np.clip((k - better) / tied, 0, 1), np.float64)


def hits_at(scores: NDArray[np.floating], truth: NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """`hits_among` the best k of scores (N, K): 0 or 1 where nothing ties."""
    return hits_among(*standing(scores, truth), k)


def top1(scores: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """Expected top-1 accuracy: a constant scorer is right one time in K, whatever the order of the classes. See `hits_at`."""
    return float(hits_at(scores, truth, 1).mean())


def accuracy(scores: NDArray[np.floating], truth: NDArray[np.integer]) -> Accuracy:
    """Top-1 accuracy of scores (N, K) with its interval."""
    share = top1(scores, truth)
    return Accuracy(share, len(truth), *wilson_interval(share, len(truth)))


def confusion(scores: NDArray[np.floating], truth: NDArray[np.integer], earlier: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Confusion matrix (K, K): row is the true class, column the best-scored one; a tie of T classes counts 1/T in each.

    Args:
        scores: (N, K), higher is better.
        truth: (N,) class numbers.
        earlier: the matrix of samples before these, which are added to it.
    """
    best = scores >= scores.max(axis=1, keepdims=True) - TIE
    rows, columns = np.nonzero(best)
    found = np.zeros((scores.shape[1],) * 2) if earlier is None else earlier
    np.add.at(found, (truth[rows], columns), 1 / np.bincount(rows)[rows])
    return found


def mean_class(hits: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """Mean over the classes that occur of the share of their samples that hit.

    Args:
        hits: (N,) in [0, 1].
        truth: (N,) class numbers.
    """
    counts = np.bincount(truth)
    return float((np.bincount(truth, hits)[counts > 0] / counts[counts > 0]).mean())


def confidences(scores: NDArray[np.floating], scale: float) -> NDArray[np.float64]:
    """Largest probability (N,) of the softmax over `scale` times the scores (N, K)."""
    logits = scale * (scores - scores.max(axis=1, keepdims=True))
    return np.asarray(1 / np.exp(logits).sum(axis=1, dtype=np.float64))


def confidence_bins(confidence: NDArray[np.floating]) -> NDArray[np.int64]:
    """Bin of each confidence: equal widths over [0, 1], a bin's upper edge belongs to the next one, and 1 to the last."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def calibration_error(confidence: NDArray[np.floating], hits: NDArray[np.floating]) -> float:
    """Expected calibration error: by bin of confidence, |accuracy - mean confidence|, weighted by the bin's share of samples.

    Args:
        confidence: (N,) in [0, 1].
        hits: (N,) whether the best class was the true one, ties in expectation.
    """
    gaps = np.bincount(confidence_bins(confidence), hits - confidence, BINS)
    return float(np.abs(gaps).sum() / len(hits))


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share of `count` trials (Wilson 1927, JASA 22).

    Returns:
        Low and high end in [0, 1]; (0, 1) for no trials.
    """
    if count == 0:
        return 0.0, 1.0
    z2 = _Z_95**2
    center = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z_95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    # the ends enclose the share exactly, whatever the rounding: at 0 and 1 they meet it
    return min(share, max(0.0, center - half)), max(share, min(1.0, center + half))
