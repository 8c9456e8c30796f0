"""The picture of a crash test: which sensors find each other's places, and one place through all of them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from geolangbind.crashtest.run import CrashTest
from geolangbind.crashtest.stacks import rows
from geolangbind.evaluate.pictures.heatmap import readable_view

_COLUMNS = 7
_WHITE_BELOW = 0.75


def picture(test: CrashTest) -> bytes:
    """A PNG: the matrix of same-place AUC, and the strip of the first place with its similarity to the first sensor seen."""
    count = len(test.stacks.views)
    strip_rows = -(-count // _COLUMNS)
    side = 2.2 + 0.42 * count
    figure = Figure(figsize=(max(6.5, 2.6 + 0.62 * count), side + 2.1 * strip_rows), layout="constrained")
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=[side, 2.1 * strip_rows])
    _matrix(parts[0, 0], test)
    _strip(parts[1, 0], test, strip_rows)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    return buffer.getvalue()


def _matrix(figure: Any, test: CrashTest) -> None:  # noqa: ANN401 - matplotlib is untyped
    names = list(test.stacks.views)
    axes = figure.subplots()
    axes.set_facecolor("#e4e4e4")
    shown = axes.imshow(test.auc, cmap="cividis", vmin=0.5, vmax=1.0)
    for (row, column), value in np.ndenumerate(test.auc):
        told = "-" if np.isnan(value) else f"{value:.2f}"
        colour = "#777777" if np.isnan(value) else "white" if value < _WHITE_BELOW else "black"
        axes.text(column, row, told, ha="center", va="center", fontsize=8, color=colour)
    labels = [f"{name} *" if name in test.stacks.unseen else name for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=40, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), labels, fontsize=8)
    axes.set_title("Same place against other places (AUC)\nrow: one sensor, column: the other", fontsize=9)
    bar = figure.colorbar(shown, ax=axes, shrink=0.7, extend="min")
    bar.set_label("0.5 chance, 1 always", fontsize=8)
    if test.stacks.unseen:
        axes.set_xlabel("* sensors that few models were trained on; -: cannot see this sensor", fontsize=8)


def _strip(figure: Any, test: CrashTest, strip_rows: int) -> None:  # noqa: ANN401 - matplotlib is untyped
    names = list(test.stacks.views)
    panels = figure.subplots(strip_rows, min(_COLUMNS, len(names)), squeeze=False)
    first = next((name for name in names if name not in test.refused), None)
    for axes in panels.flat:
        axes.axis("off")
    for axes, name, similarity in zip(panels.flat, names, test.strip, strict=False):
        axes.imshow(readable_view(rows(test.stacks.views[name], 0, 1))[0], interpolation="nearest")
        told = "cannot see this" if np.isnan(similarity) else "first" if name == first else f"{similarity:.2f}"
        axes.set_title(f"{name}\n{told}", fontsize=8)
    figure.suptitle(f"One place through every sensor\n{test.stacks.places[0]}, cosine similarity to {first or 'none'}", fontsize=9)
