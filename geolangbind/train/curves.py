"""The picture of a run: losses, validation, gradient shares, learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from geolangbind.checkpoint import atomic_path
from geolangbind.train.settings import MODALITIES
from geolangbind.train.summary import Row, curve, gradient_shares, loss_columns

_COLORS = dict(zip(MODALITIES, ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"), strict=True))
"""Okabe and Ito's colour-blind-safe palette."""
_WINDOWS = 24
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
    count = len(losses) + len(measures) + 2
    height = -(-count // _COLUMNS)
    figure = Figure(figsize=(4.1 * min(count, _COLUMNS), 2.9 * height), layout="constrained")  # no pyplot: nothing global, nothing to close
    grid = figure.subplots(height, min(count, _COLUMNS), squeeze=False)
    panels = list(grid.flat)
    for axes in panels[count:]:
        axes.axis("off")
    used = iter(panels)
    present = [name for name in MODALITIES if any(row["modality"] == name for row in rows)]
    for column in losses:
        _plot_loss(next(used), rows, present, column)
    for name in measures:
        _plot_measure(next(used), validation, present, name)
    _plot_shares(next(used), rows, present, clip_norm)
    axes = next(used)
    axes.plot([row["step"] for row in rows], [row["lr"] for row in rows], color="#444444", **_marks(len(rows)))
    _dress(axes, "learning rate")
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
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
            axes.plot(steps, values, label=modality, color=_COLORS[modality], **_marks(len(steps)))
    _dress(axes, f"{column} loss")


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
    _dress(axes, f"{_MEASURES[name]}, %")


def _plot_shares(axes: Any, rows: Sequence[Row], present: Sequence[str], clip_norm: float) -> None:  # noqa: ANN401
    parts = [part for part in np.array_split(np.arange(len(rows)), min(_WINDOWS, max(1, len(rows) // (4 * len(present))))) if len(part)]
    windows = [gradient_shares([rows[i] for i in part], clip_norm) for part in parts]
    bottom = np.zeros(len(windows))
    edges = [rows[part[0]]["step"] - 1 for part in parts] + [rows[-1]["step"]]
    for modality in present:
        shares = np.array([100 * window[modality].gradient if modality in window else 0.0 for window in windows])
        axes.bar(edges[:-1], shares, np.diff(edges), bottom=bottom, align="edge", color=_COLORS[modality], linewidth=0)
        bottom += shares
    whole, level = gradient_shares(rows, clip_norm), 0.0
    for modality in present[:-1]:
        level += 100 * whole[modality].steps if modality in whole else 0
        axes.axhline(level, color="white", linewidth=1.2, linestyle="--")
    axes.set_ylim(0, 100)
    axes.margins(x=0)
    _dress(axes, "gradient share, % (dashed: of steps)")


def _faint(modality: str) -> dict[str, Any]:
    return {"color": _COLORS[modality], "alpha": 0.18, "linewidth": 0.7}


def _marks(count: int) -> dict[str, Any]:
    return {"marker": "o", "markersize": 3} if count == 1 else {"linewidth": 1.5}


def _dress(axes: Any, title: str) -> None:  # noqa: ANN401
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel("optimiser step", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
