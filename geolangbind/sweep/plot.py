"""The picture of a sweep: accuracy over m1 and m2, the mean large, every modality small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from geolangbind.checkpoint import atomic_path
from geolangbind.sweep.grid import PUBLISHED, Pair
from geolangbind.sweep.pareto import best_of, pareto_front
from geolangbind.sweep.report import Report

_MOST_NUMBERS = 11  # per side; beyond, numbers in cells are too small to read
_LOWEST = 10  # colours end at this percentile: the few worst corners would otherwise hide all other differences


def plot(path: Path, report: Report) -> None:
    """Draw the heatmaps.

    Cells are drawn alike wide whatever their distance, so that a refined grid stays readable. The small ones share one scale, points
    below each modality's best, so that a modality that the coefficients hardly change looks flat.
    """
    columns = -(-len(report.modalities) // 2)
    figure: Any = Figure(figsize=(6.2 + 2.2 * columns, 5.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[6.2, 2.2 * columns])
    _draw_mean(left, report)
    _draw_modalities(right, report, columns)
    count = next(iter(best_of(report.unique).scores.values())).n
    data = "synthetic validation scenes" if report.synthetic else "validation images"
    figure.suptitle(
        f"Zero-shot top-1 of merges base + m1 (rgb − base), then + m2 (others − that), on {count} {data} per modality", fontsize=10
    )
    with atomic_path(path) as part, part.open("wb") as stream:
        figure.savefig(stream, format="png", dpi=130)


def _draw_mean(figure: Any, report: Report) -> None:  # noqa: ANN401 - matplotlib is untyped
    table, axes = 100 * report.table(), figure.subplots()
    lowest = np.percentile(table, _LOWEST)
    image = axes.imshow(table, origin="lower", cmap="viridis", vmin=lowest, aspect="auto")
    if max(table.shape) <= _MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(table):
            dark = value < (lowest + table.max()) / 2
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_title(f"mean over {len(report.modalities)} modalities, %", fontsize=9)
    axes.set_xlabel("m1   (0: base, 1: rgb, where m2 is 0)", fontsize=9)
    axes.set_ylabel("m2   (1: others)", fontsize=9)
    _ticks(axes, report, 11, 8)
    best, front = best_of(report.unique), {id(point) for point in pareto_front(report.unique)}
    on_front = [pair for pair, point in report.points.items() if id(point) in front]
    _mark(axes, report, on_front, "on the Pareto front over modalities", (0.34, 0.3), marker=".", s=28, color="white", edgecolor="black")
    _mark_both(axes, report, [pair for pair, point in report.points.items() if point is best], size=460)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, fontsize=8, frameon=False, markerscale=0.7)
    _bar(figure, image, axes, "min" if table.min() < lowest else "neither")


def _draw_modalities(figure: Any, report: Report, columns: int) -> None:  # noqa: ANN401
    tables = {modality: 100 * report.table(modality) for modality in report.modalities}
    span = max(max(table.max() - np.percentile(table, _LOWEST) for table in tables.values()), 1.0)
    panels = figure.subplots(-(-len(tables) // columns), columns, squeeze=False, sharex=True, sharey=True)
    image = None
    for axes, (modality, table) in zip(panels.flat, tables.items(), strict=False):
        image = axes.imshow(table - table.max(), origin="lower", cmap="viridis", vmin=-span, vmax=0, aspect="auto")
        axes.set_title(f"{modality.upper()}, best {table.max():.1f} %", fontsize=9)
        _ticks(axes, report, 3, 8)
        _mark_both(axes, report, [Pair(report.m1[column], report.m2[row]) for row, column in np.argwhere(table == table.max())], size=50)
    for axes in list(panels.flat)[len(tables) :]:
        axes.axis("off")
    figure.supxlabel("m1", fontsize=9)
    figure.supylabel("m2", fontsize=9)
    _bar(figure, image, panels, "min").set_label("points below the modality's best", fontsize=8)


def _bar(figure: Any, image: Any, axes: Any, extend: str) -> Any:  # noqa: ANN401
    bar = figure.colorbar(image, ax=axes, pad=0.02, fraction=0.04, aspect=40, extend=extend)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    return bar


def _ticks(axes: Any, report: Report, most: int, size: int) -> None:  # noqa: ANN401
    axes.spines[:].set_visible(False)
    for axis, values in ((axes.xaxis, report.m1), (axes.yaxis, report.m2)):
        places = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))
        axis.set_ticks(places, [f"{values[place]:g}" for place in places], fontsize=size)


def _mark_both(axes: Any, report: Report, best: list[Pair], size: int) -> None:  # noqa: ANN401
    _mark(axes, report, best, "best", marker="s", s=size, facecolor="none", edgecolor="#D55E00", linewidth=2)
    if PUBLISHED in report.points:
        _mark(axes, report, [PUBLISHED], "published, 0.9 / 0.5", marker="o", s=size, facecolor="none", edgecolor="black", linewidth=1.6)


def _mark(
    axes: Any,  # noqa: ANN401
    report: Report,
    pairs: list[Pair],
    label: str,
    shift: tuple[float, float] = (0, 0),
    **style: Any,  # noqa: ANN401
) -> None:
    places = np.array([(report.m1.index(pair.m1), report.m2.index(pair.m2)) for pair in pairs], dtype=float) + shift
    axes.scatter(*places.T, label=label, **style)
