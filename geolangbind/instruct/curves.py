"""The picture of an interleaved run: loss, precision at 1 on held-out pairs, temperature, learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from geolangbind.checkpoint import atomic_path
from geolangbind.train.curves import dress, marks, plot_rate
from geolangbind.train.summary import Row, curve


def plot_run(path: Path, rows: Sequence[Row], validation: Sequence[Row]) -> None:
    """Write a PNG with one panel per curve; a run of a single step gives points.

    Args:
        path: of the picture.
        rows: of metrics.jsonl, at least one.
        validation: rows of validation.jsonl, or none.
    """
    panels = 3 + bool(validation)
    figure = Figure(figsize=(4.1 * panels, 3.2), layout="constrained")
    axes = list(figure.subplots(1, panels))
    _plot_column(axes[0], rows, "loss", "loss")
    _plot_column(axes[1], rows, "temperature", "temperature")
    plot_rate(axes[2], rows)
    if validation:
        _plot_precision(axes[3], validation)
    with atomic_path(path) as part:
        figure.savefig(part, dpi=130, format="png")


def _plot_column(axes: Any, rows: Sequence[Row], column: str, title: str) -> None:  # noqa: ANN401 - matplotlib is untyped
    axes.plot([row["step"] for row in rows], [row[column] for row in rows], color="#0072B2", alpha=0.25, linewidth=0.7)
    steps, values = curve(rows, column)
    axes.plot(steps, values, color="#0072B2", **marks(len(steps)))
    dress(axes, title)


def _plot_precision(axes: Any, rows: Sequence[Row]) -> None:  # noqa: ANN401
    """Lines over the steps; bars beside their chance where there is one validation only."""
    names = list(dict.fromkeys(row["source"] for row in rows))
    last = {row["source"]: row for row in rows}
    if len({row["step"] for row in rows}) == 1:
        places = range(len(names))
        axes.barh(places, [100 * last[name]["precision_1"] for name in names], color="#0072B2", height=0.6)
        axes.plot([100 * last[name]["precision_1_chance"] for name in names], places, "k|", markersize=12)
        axes.set_yticks(places, names, fontsize=7)
        axes.invert_yaxis()
        dress(axes, "P@1 of held-out pairs, % (line: chance)")
        axes.set_xlabel("")
        return
    for name in names:
        own = [row for row in rows if row["source"] == name]
        axes.plot([row["step"] for row in own], [100 * row["precision_1"] for row in own], marker="o", markersize=3, label=name)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=6, frameon=False)
    dress(axes, "P@1 of held-out pairs, %")
