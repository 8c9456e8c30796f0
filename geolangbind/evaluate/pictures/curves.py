"""Curves and grids of one task: few-shot curves, reliability diagrams, confusion matrices."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from geolangbind.evaluate.pictures.album import COLOURS, MARKERS, plain

_MOST_NAMES = 45  # classes whose names can be read at 1000 pixels
_STYLES = [(COLOURS[name], MARKERS[name]) for name in ("sar", "rgb", "msi", "hsi", "ir", "dem", "text")]


@dataclass(frozen=True)
class Shot:
    """One point of a few-shot curve: shares, at a number of labelled images per class."""

    shots: int
    value: float
    low: float | None = None
    high: float | None = None
    chance: float | None = None


def draw_few_shot(curves: Mapping[str, Mapping[str, Sequence[Shot]]]) -> Figure:
    """Accuracy over labelled images per class: a panel per modality, a curve per model, the interval as a band."""
    count = len(curves)
    columns = min(3, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(3.4 * columns + 0.6, 2.9 * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    drawn = dict.fromkeys(model for models in curves.values() for model in models)
    styles = dict(zip(drawn, itertools.cycle(_STYLES), strict=False))
    for axes, (modality, models) in zip(panels.flat, curves.items(), strict=False):
        for model, points in models.items():
            points = sorted(points, key=lambda point: point.shots)
            shots, values = [point.shots for point in points], [100 * point.value for point in points]
            colour, marker = styles[model]
            axes.plot(shots, values, color=colour, marker=marker, label=plain(model))
            if all(point.low is not None and point.high is not None for point in points):
                axes.fill_between(shots, *([100 * end for end in ends] for ends in _ends(points)), color=colour, alpha=0.2, linewidth=0)
        chance = next((point.chance for points in models.values() for point in points if point.chance is not None), None)
        if chance is not None:
            axes.axhline(100 * chance, color="black", linestyle=":", linewidth=1, label="chance")
        ticks = sorted({point.shots for points in models.values() for point in points})
        axes.set_xscale("log")
        axes.set_xticks(ticks, ticks)
        axes.set_xticks([], minor=True)
        axes.set_title(plain(modality.upper()), fontsize=12)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels.flat[count:]:
        axes.set_axis_off()
    panels[0][0].set_ylim(bottom=0)
    figure.supxlabel("labelled images per class", fontsize=11)
    figure.supylabel("accuracy, %", fontsize=11)
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False, fontsize=10)
    return figure


def _ends(points: Sequence[Shot]) -> tuple[list[float], list[float]]:
    return [point.low or 0.0 for point in points], [point.high or 0.0 for point in points]


def draw_reliability(panels: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> Figure:
    """Reliability diagrams: how often a model is right, by how sure it says to be; the larger a point, the more images it stands for.

    Args:
        panels: by title and model, bins with mean `confidence`, `accuracy` and number of images `n`.
    """
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.4 * columns + 0.4, 3.5 * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes, (title, models) in zip(grid.flat, panels.items(), strict=False):
        axes.plot([0, 100], [0, 100], color="black", linestyle=":", linewidth=1)
        for (model, bins), (colour, marker) in zip(models.items(), itertools.cycle(_STYLES), strict=False):
            sure, right, counts = np.array([[bin["confidence"], bin["accuracy"], bin["n"]] for bin in bins]).T
            error = np.average(np.abs(sure - right), weights=counts)
            axes.plot(100 * sure, 100 * right, color=colour, linewidth=1, label=plain(f"{model}: ECE {100 * error:.1f} %"))
            axes.scatter(100 * sure, 100 * right, s=15 + 250 * counts / counts.sum(), color=colour, marker=marker, alpha=0.8, zorder=3)
        axes.set(title=plain(title), aspect="equal", xlim=(0, 102), ylim=(0, 102))
        axes.legend(frameon=False, fontsize=9, loc="upper left")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel("how sure the model says to be, %", fontsize=11)
    figure.supylabel("how often it is right, %", fontsize=11)
    return figure


def draw_confusion(names: Sequence[str], counts: ArrayLike) -> Figure:
    """Confusion matrix: rows are true classes, columns are guesses, cells percent of the row; 5 % and more are printed.

    Args:
        names: K classes.
        counts: (K, K).
    """
    table = np.asarray(counts, dtype=np.float64)
    shares = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = min(12.0, max(5.5, 0.38 * len(names) + 2.4))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    if len(names) <= _MOST_NAMES:
        size = 10 if len(names) <= 30 else 8
        readable = [plain(name.replace("_", " ")) for name in names]
        axes.set_xticks(range(len(names)), readable, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), readable, fontsize=size)
        for (row, column), share in np.ndenumerate(shares):
            if share >= 5:
                axes.text(
                    column, row, f"{share:.0f}", ha="center", va="center", fontsize=size - 1, color="white" if share < 60 else "black"
                )
    axes.set_xlabel("taken for", fontsize=11)
    axes.set_ylabel("is", fontsize=11)
    figure.colorbar(shown, ax=axes, shrink=0.6, label="% of the images of a class")
    return figure
