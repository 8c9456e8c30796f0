"""How told class maps overlap with true ones: intersection over union and pixel accuracy, with intervals over images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolangbind.evaluate.measure import Measure
from geolangbind.evaluate.metrics import TIE

UNLABELLED = 255
"""Class number of pixels that count nowhere."""

_RESAMPLED = 1000
_Counts = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Overlap:
    """Labelled pixels of each class by image; all that the figures need, however large the images.

    Attributes:
        both: (N, K) float64, told and true.
        told: (N, K) float64; where several classes are told of a pixel, each has its share.
        truth: (N, K) float64.
    """

    both: _Counts
    told: _Counts
    truth: _Counts

    @classmethod
    def of(cls, told: Tensor, truth: Tensor, classes: int) -> Overlap:
        """Count class numbers (N, ...) of N images against true ones, of which those that are `UNLABELLED` count nowhere."""
        labelled = truth != UNLABELLED
        right = labelled & (told == truth)
        return cls(_counts(told, right, classes), _counts(told, labelled, classes), _counts(truth, labelled, classes))

    @classmethod
    def best(cls, scores: Tensor, truth: Tensor) -> Overlap:
        """Count the classes of the highest of scores (N, K, H, W) against true ones (N, H, W); a tie (`TIE`) counts in equal shares."""
        shares = (scores >= scores.amax(1, keepdim=True) - TIE).float()
        shares *= (truth != UNLABELLED).unsqueeze(1) / shares.sum(1, keepdim=True)
        true = truth.unsqueeze(1) == torch.arange(scores.shape[1]).view(-1, 1, 1)
        both, told, there = (counted.sum((2, 3), dtype=torch.float64).numpy() for counted in (shares * true, shares, true))
        return cls(both, told, there)

    @classmethod
    def join(cls, parts: Iterable[Overlap]) -> Overlap:
        """Put the images of several counts behind one another."""
        both, told, truth = zip(*((part.both, part.told, part.truth) for part in parts), strict=True)
        return cls(np.concatenate(both), np.concatenate(told), np.concatenate(truth))

    def iou(self) -> NDArray[np.float64]:
        """Intersection over union (K,) of all images together; NaN of a class that occurs neither in truth nor in what was told."""
        return _iou(self.both.sum(0), self.told.sum(0), self.truth.sum(0))

    def mean_iou(self) -> float:
        """Mean over the classes that occur in the truth."""
        return float(self.iou()[self.truth.any(0)].mean())

    def measures(
        self, task: str, prefix: str, classes: Iterable[str], common: Mapping[str, Any], details: Mapping[str, Any]
    ) -> list[Measure]:
        """Figures as a task returns them, with bootstrap intervals over images.

        Images without a labelled pixel do not count. Chance is the better of two blind guesses: the most frequent class everywhere, and
        classes drawn by their frequencies.

        Args:
            task: of the measures.
            prefix: before `miou` (classes of the truth), `miou_all_classes` (also those told that are in no truth) and `accuracy`.
            classes: names, K.
            common: fields that all measures share: modality, sensors, bands, prompts.
            details: of the first measure, which gains the IoU of each class.
        """
        present, share = self.truth.any(0), self.truth.sum(0) / self.truth.sum()
        drawn = share / (2 - share)  # a guess of class c at share p of the pixels meets p^2 of them, in a union of 2p - p^2
        blind = max(share.max() / present.sum(), drawn[present].mean())
        images = self.truth.any(1)  # those with labels
        count = int(images.sum())
        weights = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), _RESAMPLED)
        both, told, truth = (weights @ counts[images] for counts in (self.both, self.told, self.truth))
        again, iou = _iou(both, told, truth), self.iou()
        found = [
            ("miou", self.mean_iou(), np.nanmean(np.where(truth > 0, again, np.nan), axis=1), blind),
            ("miou_all_classes", float(np.nanmean(iou)), np.nanmean(again, axis=1), blind),
            ("accuracy", float(self.both.sum() / self.truth.sum()), both.sum(1) / truth.sum(1), share.max()),
        ]
        per_class = {name: float(value) for name, value in zip(classes, iou, strict=True) if np.isfinite(value)}
        return [
            Measure(
                task=task, metric=f"{prefix}{name}", value=value, n=count, chance=float(chance), **common,
                low=float(np.quantile(draws, 0.025)), high=float(np.quantile(draws, 0.975)),
                details={**details, "iou": per_class} if name == "miou" else {},
            )
            for name, value, draws, chance in found
        ]  # fmt: skip


def _iou(both: _Counts, told: _Counts, truth: _Counts) -> _Counts:
    union = told + truth - both
    with np.errstate(invalid="ignore"):
        return both / union


def _counts(classes: Tensor, where: Tensor, count: int) -> _Counts:
    """Pixels (N, K) of each class by image, where `where` is true."""
    numbers = torch.where(where, classes.long(), count).flatten(1) + torch.arange(len(classes)).unsqueeze(1) * (count + 1)
    counts = torch.bincount(numbers.flatten(), minlength=len(classes) * (count + 1)).reshape(-1, count + 1)
    return np.asarray(counts[:, :count].double())
