"""Accuracy and its interval. Pure functions of arrays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_Z_95 = 1.959963984540054


def top1(scores: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """Expected top-1 accuracy.

    Ties at the top count in expectation: a constant scorer is right one time in K, whatever the order of the classes.

    Args:
        scores: (N, K), higher is better.
        truth: (N,) class numbers.

    Returns:
        Share in [0, 1].
    """
    best = scores == scores.max(axis=1, keepdims=True)
    right = best[np.arange(len(truth)), truth] / best.sum(axis=1)
    return float(right.mean())


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
