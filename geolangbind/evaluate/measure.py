"""One measured number and what belongs to it, before it becomes a result row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Measure:
    """A number that a task found.

    Attributes:
        task: zero_shot, multi_label, retrieval, cross_sensor, segmentation, open_vocabulary, knn, linear_probe, few_shot, crash_test.
        metric: top1, map, f1, r1, mean_recall, miou, ... A retrieval's direction and a probe's shots belong to it: `image_to_text_r5`.
        modality: rgb, sar, msi, hsi, ir or dem; of cross-sensor retrieval `sar->msi`.
        value: share in [0, 1] unless the metric says otherwise.
        n: trials behind it.
        chance: what a blind guess reaches.
        low: lower end of the 95 % interval; None where the metric has none.
        high: upper end.
        sensors: names, joined by a blank.
        bands: names, joined by a blank.
        prompts: hash of the prompts, empty where no text is used.
        details: more that the report shows: per-class accuracy, confusion, calibration. Plain JSON.
    """

    task: str
    metric: str
    modality: str
    value: float
    n: int
    chance: float
    low: float | None = None
    high: float | None = None
    sensors: str = ""
    bands: str = ""
    prompts: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
