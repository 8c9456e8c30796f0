"""What the rows of a run's logs add up to. Pure functions; nothing is computed during training for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolangbind.train.progress import rates

DOMINATES = 2.0
MOST_WAIT = 0.05
MOST_CLIPPED = 0.5
_LOSSES = ("contrastive", "cross_sensor")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class GradientShare:
    """One modality's part in what moved the weights.

    Attributes:
        steps: its share of the steps.
        gradient: its share of the sum of squared gradient norms, after clipping.
    """

    steps: float
    gradient: float

    @property
    def ratio(self) -> float:
        """Gradient over steps: 1 where the modality pulls as often as it comes."""
        return self.gradient / self.steps


def gradient_shares(rows: Iterable[Row], clip_norm: float) -> dict[str, GradientShare]:
    """Gradient share per modality: a step has one modality, so the squared norms of its steps over those of all.

    Squared norms add up as energy does, and AdamW's second moment, which scales all modalities' steps alike, is their running mean: a
    modality with most of them sets the step size of the others.

    Args:
        rows: of metrics.jsonl; a norm that is not finite was not applied and is left out.
        clip_norm: largest norm that was applied; 0 for no limit.

    Returns:
        By modality, in the order of their first steps.
    """
    counts: dict[str, int] = {}
    energy: dict[str, float] = {}
    for row in rows:
        norm, modality = row.get("gradient_norm", math.nan), row["modality"]
        if math.isfinite(norm):
            counts[modality] = counts.get(modality, 0) + 1
            energy[modality] = energy.get(modality, 0.0) + (min(norm, clip_norm) if clip_norm else norm) ** 2
    steps, total = sum(counts.values()), sum(energy.values())
    return {name: GradientShare(count / steps, energy[name] / total if total else count / steps) for name, count in counts.items()}


def median_norms(rows: Iterable[Row]) -> dict[str, float]:
    """Median gradient norm before clipping, by modality: what clipping hides from `gradient_shares`."""
    norms: dict[str, list[float]] = {}
    for row in rows:
        norms.setdefault(row["modality"], []).append(row.get("gradient_norm", math.nan))
    return {name: float(np.median(found)) for name, values in norms.items() if (found := [v for v in values if math.isfinite(v)])}


def clipped_share(rows: Iterable[Row], clip_norm: float) -> float:
    """Share of steps whose gradient was clipped."""
    norms = [row["gradient_norm"] for row in rows if math.isfinite(row.get("gradient_norm", math.nan))]
    return sum(norm > clip_norm for norm in norms) / len(norms) if norms and clip_norm else 0.0


def curve(rows: Iterable[Row], column: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps and running mean of a column where rows have it; each mean is over a twelfth of the points, half of them on each side."""
    points = [(row["step"], row[column]) for row in rows if math.isfinite(row.get(column, math.nan))]
    if not points:
        return np.empty(0), np.empty(0)
    steps, values = np.array(points, dtype=np.float64).T
    span = max(1, len(values) // 12)
    return steps[span // 2 : len(steps) - (span - 1) // 2], np.convolve(values, np.ones(span) / span, mode="valid")


def last_losses(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, float]]:
    """Mean of every loss over the last tenth of each sensor's steps, by modality and sensor."""
    found = {}
    for name in dict.fromkeys((row["modality"], row["sensor"]) for row in rows):
        own = [row for row in rows if (row["modality"], row["sensor"]) == name]
        tail = own[-max(1, len(own) // 10) :]
        values = {column: [row[column] for row in tail if column in row] for column in loss_columns(tail)}
        found[name] = {column: sum(there) / len(there) for column, there in values.items()}
    return found


def last_validation(rows: Sequence[Row]) -> list[Row]:
    """The rows of validation.jsonl, at least one, that are of its last step."""
    return [row for row in rows if row["step"] == rows[-1]["step"]]


def loss_columns(rows: Iterable[Row]) -> list[str]:
    """Columns that hold parts of the loss in any of the rows: the contrastive one first, the teachers' last."""
    names = {name for row in rows for name in row if name in _LOSSES or "/" in name}
    return sorted(names, key=lambda name: (name != "contrastive", name.startswith("maka/"), name))


def concerns(rows: Sequence[Row], clip_norm: float) -> list[str]:
    """What a reader should know before trusting the run, one sentence each; often nothing."""
    told = []
    wait = rates(rows[1:])[1]  # the first batch is waited for while the readers start
    if wait > MOST_WAIT:
        told.append(f"{wait:.0%} of the time went into waiting for data: raise machine.workers, or bring the shards nearer.")
    for name, share in gradient_shares(rows, clip_norm).items():
        if share.ratio > DOMINATES:
            told.append(
                f"{name} dominates: {share.gradient:.0%} of the gradient from {share.steps:.0%} of the steps. Lower its share in "
                "sensor_group.modalities, or optim.clip_norm."
            )
    if (clipped := clipped_share(rows, clip_norm)) > MOST_CLIPPED:
        told.append(f"{clipped:.0%} of the steps were clipped at {clip_norm:g}: raise optim.clip_norm, or lower optim.lr.")
    return told
