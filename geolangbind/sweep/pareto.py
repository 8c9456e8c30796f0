"""Comparing measured points: the best mean, the Pareto front over modalities, and whether a difference is more than chance. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from geolangbind.sweep.points import Point

_Z_95 = 1.959963984540054


class Difference(NamedTuple):
    """How much better one point is than another in the mean over modalities: a share, and half its 95 % interval."""

    share: float
    half: float

    @property
    def within_chance(self) -> bool:
        """Whether zero lies in the interval."""
        return abs(self.share) <= self.half


def best_of(points: Iterable[Point]) -> Point:
    """The point of the highest mean over modalities; of equal ones the first."""
    return max(points, key=lambda point: point.mean)


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other one dominates: at least as good in every modality, and better in one. Best mean first."""
    table = np.array([[score.top1 for score in point.scores.values()] for point in points])
    dominated = [bool(((table >= row).all(axis=1) & (table > row).any(axis=1)).any()) for row in table]
    return sorted((point for point, lost in zip(points, dominated, strict=True) if not lost), key=lambda point: -point.mean)


def difference(better: Point, worse: Point) -> Difference:
    """Compare two points image by image.

    The interval is that of paired shares (McNemar's setting) by the normal approximation, modalities counted as independent. It does not
    know that one point was chosen for being the best of many; measure the chosen one on other scenes before claiming a gain.
    """
    gains, variances = [], []
    for modality, score in better.scores.items():
        change = score.right.astype(float) - worse.scores[modality].right
        gains.append(change.mean())
        variances.append(change.var() / len(change))
    return Difference(float(np.mean(gains)), float(_Z_95 * np.sqrt(np.sum(variances)) / len(gains)))
