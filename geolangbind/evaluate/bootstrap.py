"""Percentile bootstrap (Efron 1979): how far a statistic moves when the samples are drawn again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
_BLOCK = 1 << 22  # numbers in memory at a time

Statistic = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Of weights (R, U), how often each of U rows was drawn, and the rows (U, F): values (R,)."""


def bootstrap(rows: NDArray[np.floating], statistic: Statistic, seed: str) -> tuple[float, float]:
    """95 % percentile interval of a statistic over N samples.

    Samples with equal rows are drawn together, by the multinomial law of their count: the same distribution as one by one, and
    thousands of samples of few kinds cost milliseconds. Two models are compared sample by sample by putting the values of both into a row.

    Args:
        rows: (N, F), what the statistic needs to know of each sample.
        statistic: see `Statistic`; NaN where it cannot be told of a draw.
        seed: hexadecimal digits, e.g. a data fingerprint: the same data gives the same interval.

    Returns:
        Low and high end.
    """
    ranked = rows[np.lexsort(rows.T[::-1])].astype(np.float64)
    first = np.flatnonzero(np.append(True, (ranked[1:] != ranked[:-1]).any(axis=1)))
    kinds, counts = ranked[first], np.diff(first, append=len(rows))
    random = np.random.default_rng(int(seed or "0", 16))
    size = max(1, _BLOCK // kinds.size)
    values = []
    for done in range(0, RESAMPLES, size):
        weights = random.multinomial(len(rows), counts / len(rows), min(size, RESAMPLES - done))
        values.append(statistic(weights.astype(np.float64), kinds))
    low, high = np.nanpercentile(np.concatenate(values), (2.5, 97.5))
    return float(low), float(high)


def weighted_mean(weights: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Statistic: mean of the rows' first value."""
    found: NDArray[np.float64] = weights @ rows[:, 0] / weights.sum(axis=1)
    return found


def weighted_ratio(weights: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Statistic: sum of the rows' first values over the sum of their second ones, e.g. hits and trials of what is drawn together."""
    first, second = (weights @ rows[:, :2]).T
    found: NDArray[np.float64] = first / second
    return found


def weighted_class_mean(weights: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Statistic: mean over classes of the mean of a class's values; rows hold class number and value. Classes not drawn do not count."""
    member = rows[:, :1] == np.unique(rows[:, 0])
    drawn = weights @ member
    with np.errstate(invalid="ignore"):
        means = weights @ (member * rows[:, 1:]) / drawn
    found: NDArray[np.float64] = np.nanmean(means, axis=1)
    return found


def weighted_gap(weights: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Statistic: calibration error; rows hold the bin of confidence and accuracy minus confidence, see `metrics.calibration_error`."""
    member = rows[:, :1] == np.unique(rows[:, 0])
    found: NDArray[np.float64] = np.abs(weights @ (member * rows[:, 1:])).sum(axis=1) / weights.sum(axis=1)
    return found
