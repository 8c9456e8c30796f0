"""All results at a glance: models down, datasets across, a panel per task."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from geolangbind.evaluate.pictures.album import plain
from geolangbind.evaluate.report_tables import Line, Table, column_title, short_title

_NARROW, _WRAP = 10, 40  # letters of a data set's and of a model's name in one line
_MOST = 15  # columns whose values can be read at 1000 pixels


def above_chance(value: float, chance: float | None) -> float:
    """How far a share lies between chance (0) and a perfect score (1); below 0 if worse than chance. Without a chance level, the share."""
    level = chance or 0.0
    return (value - level) / (1 - level) if level < 1 else 0.0


def draw_matrix(tables: Sequence[Table]) -> Figure:
    """Draw tables of shares, one panel each. Values are percent, colours are `above_chance`, published rows are marked."""
    heights = [len(table.lines) + 2.2 for table in tables]
    widest = min(_MOST, max(len(table.columns) for table in tables))
    figure = Figure(figsize=(max(6.5, 0.8 * widest + 3.3), 0.36 * sum(heights) + 0.9), layout="constrained")
    panels = figure.subplots(len(tables), 1, squeeze=False, height_ratios=heights)[:, 0]
    scale = ScalarMappable(Normalize(0, 1), "viridis")
    for axes, table in zip(panels, tables, strict=True):
        _draw_panel(axes, table, scale)
    figure.colorbar(scale, ax=list(panels), location="bottom", shrink=0.5, aspect=40, extend="min", label="0: chance    1: perfect")
    return figure


def _draw_panel(axes: Any, table: Table, scale: ScalarMappable) -> None:  # noqa: ANN401 - matplotlib is untyped
    columns = table.columns[:_MOST]
    shades: NDArray[np.float64] = np.full((len(table.lines), len(columns)), np.nan)
    for row, line in enumerate(table.lines):
        for place, (cell, column) in enumerate(zip(line.cells, columns, strict=False)):
            if cell:
                shades[row, place] = above_chance(cell.value, column.chance)
                colour = "white" if shades[row, place] < 0.55 else "black"
                axes.text(place, row, f"{100 * cell.value:.1f}", ha="center", va="center", fontsize=11, color=colour)
    axes.imshow(shades, cmap=scale.cmap, norm=scale.norm, aspect="auto")
    axes.set_xticks(range(len(columns)), [textwrap.fill(plain(column_title(column, table)), _NARROW) for column in columns])
    axes.set_yticks(range(len(table.lines)), [_label(line) for line in table.lines])
    axes.tick_params(length=0, labelsize=10)
    axes.tick_params(axis="x", labelsize=9)
    axes.set_title(short_title(table), fontsize=11, loc="left")
    for label, line in zip(axes.get_yticklabels(), table.lines, strict=True):
        label.set_style("italic" if line.published else "normal")


def _label(line: Line) -> str:
    return textwrap.fill(plain(f"{line.model} (published)" if line.published else line.model), _WRAP)
