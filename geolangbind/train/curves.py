"""The picture of a run: losses, validation, which modality's gradient dominates, learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from geolangbind.checkpoint import atomic_path
from geolangbind.train.settings import MODALITIES
from geolangbind.train.summary import DOMINATES, Row, curve, gradient_shares, loss_columns

_COLORS = dict(zip(MODALITIES, ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"), strict=True))
"""Okabe and Ito's colour-blind-safe palette."""
_WINDOWS, _LEAST_STEPS = 20, 6
_COLUMNS = 3
_MEASURES = {"zero_shot": "zero-shot top-1", "recall_1": "image-to-text R@1", "recall_5": "image-to-text R@5"}


def plot_run(path: Path, rows: Sequence[Row], validation: Sequence[Row], clip_norm: float) -> None:
    """Write a PNG with one panel per loss and measure there is; a run of a single step gives points.

    Args:
        path: of the picture.
        rows: of metrics.jsonl, at least one.
        validation: rows of validation.jsonl, or none.
        clip_norm: largest gradient norm that was applied; 0 for no limit.
    """
    losses = loss_columns(rows)
    measures = [name for name in _MEASURES if any(name in row for row in validation)]
    present = [name for name in MODALITIES if any(row["modality"] == name for row in rows)]
    count = len(losses) + len(measures) + (len(present) > 1) + 1
    height = -(-count // _COLUMNS)
    figure = Figure(figsize=(4.1 * min(count, _COLUMNS), 2.9 * height), layout="constrained")  # no pyplot: nothing global, nothing to close
    grid = figure.subplots(height, min(count, _COLUMNS), squeeze=False)
    panels = list(grid.flat)
    for axes in panels[count:]:
        axes.axis("off")
    used = iter(panels)
    for column in losses:
        _plot_loss(next(used), rows, present, column)
    for name in measures:
        _plot_measure(next(used), validation, present, name)
    if len(present) > 1:
        _plot_ratios(next(used), rows, present, clip_norm)
    plot_rate(next(used), rows)
    handles, names = panels[0].get_legend_handles_labels()
    if len(present) > 1:
        figure.legend(handles, names, loc="outside upper center", ncols=len(present), frameon=False, fontsize=9)
    with atomic_path(path) as part:
        figure.savefig(part, dpi=130, format="png")


def _plot_loss(axes: Any, rows: Sequence[Row], present: Sequence[str], column: str) -> None:  # noqa: ANN401 - matplotlib is untyped
    for modality in present:
        own = [row for row in rows if row["modality"] == modality]
        steps, values = curve(own, column)
        if len(steps):
            axes.plot([row["step"] for row in own if column in row], [row[column] for row in own if column in row], **_faint(modality))
            axes.plot(steps, values, label=modality, color=_COLORS[modality], **marks(len(steps)))
    dress(axes, f"{column} loss")


def _plot_measure(axes: Any, rows: Sequence[Row], present: Sequence[str], name: str) -> None:  # noqa: ANN401
    chances = set()
    for modality in present:
        own = [row for row in rows if row["modality"] == modality and name in row]
        if own:
            axes.plot([row["step"] for row in own], [100 * row[name] for row in own], color=_COLORS[modality], marker="o", markersize=3)
            chances.add(100 * own[-1][f"{name}_chance"])
    for chance in chances:
        axes.axhline(chance, color="black", linewidth=1, linestyle=":")
    axes.annotate("chance", (1, max(chances)), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7)
    axes.set_ylim(bottom=0)
    dress(axes, f"{_MEASURES[name]}, %")


def _plot_ratios(axes: Any, rows: Sequence[Row], present: Sequence[str], clip_norm: float) -> None:  # noqa: ANN401
    parts = np.array_split(np.arange(len(rows)), max(1, min(_WINDOWS, len(rows) // (_LEAST_STEPS * len(present)))))
    windows = [gradient_shares([rows[i] for i in part], clip_norm) for part in parts]
    places = [rows[part[len(part) // 2]]["step"] for part in parts]
    for modality in present:
        points = [(place, window[modality].ratio) for place, window in zip(places, windows, strict=True) if modality in window]
        if points:
            axes.plot(*np.array(points).T, color=_COLORS[modality], marker="o", markersize=3, linewidth=1.5)
    for level, name in ((1.0, "fair"), (DOMINATES, "dominates")):
        axes.axhline(level, color="black", linewidth=1, linestyle=":")
        axes.annotate(name, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7)
    axes.set_ylim(0, max(1.25 * DOMINATES, axes.get_ylim()[1]))
    dress(axes, "gradient share / share of steps")


def plot_rate(axes: Any, rows: Sequence[Row]) -> None:  # noqa: ANN401
    """Learning rate over the steps."""
    power = math.floor(math.log10(max(row["lr"] for row in rows) or 1.0))
    axes.plot([row["step"] for row in rows], [row["lr"] / 10.0**power for row in rows], color="#444444", **marks(len(rows)))
    axes.set_ylim(bottom=0)
    dress(axes, f"learning rate, 1e{power}")


def _faint(modality: str) -> dict[str, Any]:
    return {"color": _COLORS[modality], "alpha": 0.18, "linewidth": 0.7}


def marks(count: int) -> dict[str, Any]:
    """How a curve of so many points is drawn: a single one as a point."""
    return {"marker": "o", "markersize": 3} if count == 1 else {"linewidth": 1.5}


def dress(axes: Any, title: str) -> None:  # noqa: ANN401
    """Title and axes of a panel."""
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel("optimiser step", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
