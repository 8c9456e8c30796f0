"""A comparison of two models as a picture: blocks from top to bottom, figures from left to right."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merge_weights.chain import PathLike
from merge_weights.diff import Block, Difference, count, figure
from merge_weights.errors import MergeError

_DPI = 140
_WIDTH_INCHES = 10.0
_ROW_INCHES = 0.3
_BAR_INCHES = 0.12
_FRAME_INCHES = 2.0
_NAME_CHARACTERS = 34
_ROLE_CHARACTERS = 12
_GREY = "#e4e4e4"


@dataclass(frozen=True)
class _Panel:
    """Columns that share a colour scale.

    Attributes:
        columns: title, and how to read the figure off a block.
        text: what to write into a cell.
        scale: matplotlib's norm.
        colours: name of the colour map.
        label: of the scale.
        ticks: on the scale.
    """

    columns: Sequence[tuple[str, Callable[[Block], float | None]]]
    text: Callable[[float | None], str]
    scale: Any
    colours: str
    label: str
    ticks: Sequence[float]


def plot(difference: Difference, path: PathLike) -> None:
    """Draw a comparison as a heatmap, 1400 pixels wide, with the numbers in the cells.

    Norms are coloured on a logarithmic scale; the cosine from -1 to 1 and the sign conflict from 0 to 1, both diverging from what unrelated
    task vectors show (0 and one half). The colour maps are colour-blind safe. What is 0, which has no logarithm, or not defined is grey.

    Args:
        difference: what `diff.diff` found.
        path: the PNG to write; an existing one is replaced.

    Raises:
        MergeError: matplotlib is not installed, the name does not end with .png, or the file cannot be written.
    """
    place = Path(path)
    if place.suffix.lower() != ".png" or place.is_dir():
        raise MergeError(f"{place} is no name for a picture; give one that ends with .png")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MergeError("drawing needs the package matplotlib; install it (pip install matplotlib), or leave out --png") from error
    from merge_weights.write import staged

    rows = [*difference.blocks, difference.total]
    panels, names = _panels(difference, rows), _names(difference)
    height_inches = _FRAME_INCHES + _ROW_INCHES * len(rows)
    picture = Figure(figsize=(_WIDTH_INCHES, height_inches), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(picture)
    picture.suptitle(f"{names[0]} and {names[1]}" + (f", both from {names[2]}" if names[2] else ""), fontsize=11, weight="bold")
    places = picture.subplots(
        2,
        len(panels),
        squeeze=False,
        width_ratios=[len(panel.columns) for panel in panels],
        height_ratios=(_ROW_INCHES * len(rows), _BAR_INCHES),
    )
    for index, panel in enumerate(panels):
        _draw(picture, places[:, index], rows, panel)
    places[0][0].set_yticks(range(len(rows)), [_label(block) for block in rows], fontsize=9)
    with staged(place) as partial:
        picture.savefig(partial, format="png", metadata={"Software": "merge-weights"})


def _names(difference: Difference) -> tuple[str, str, str]:
    """Short names of first, second and base: of their folders or files, or their roles if those are alike or long."""
    given = (difference.first, difference.second, *(() if difference.base is None else (difference.base,)))
    paths = [Path(path) for path in given]
    found = [path.parent.name if path.stem == "model" else path.stem for path in paths]
    if len(set(found)) < len(found) or not all(0 < len(name) <= _ROLE_CHARACTERS for name in found):
        found = ["first", "second", "base"][: len(found)]
    return found[0], found[1], found[2] if len(found) > 2 else ""


def _panels(difference: Difference, rows: Sequence[Block]) -> list[_Panel]:
    from matplotlib.colors import LogNorm, Normalize

    first, second, base = _names(difference)
    columns: list[tuple[str, Callable[[Block], float | None]]] = [(f"|{second} − {first}|\n/ |{first}|", lambda block: block.distance)]
    if difference.base is not None:
        columns += [
            (f"|{first} − {base}|\n/ |{base}|", lambda block: block.first_task_norm),
            (f"|{second} − {base}|\n/ |{base}|", lambda block: block.second_task_norm),
        ]
    low, high = _range([read(block) for block in rows for _, read in columns])
    panels = [_Panel(columns, figure, LogNorm(low, high), "YlGnBu", "relative norm, logarithmic", _log_ticks(low, high))]
    if difference.base is not None:
        cosine = [("cosine of the\ntask vectors", lambda block: block.cosine)]
        panels.append(
            _Panel(cosine, lambda value: _text(value, "+.2f"), Normalize(-1, 1), "PuOr", "opposite, unrelated, alike", (-1, 0, 1))
        )
        conflict = [("sign conflict of\nthe task vectors", lambda block: block.sign_conflict)]
        panels.append(_Panel(conflict, lambda value: _text(value, ".0%"), Normalize(0, 1), "PuOr_r", "none, by chance, all", (0, 0.5, 1)))
    return panels


def _range(norms: Sequence[float | None]) -> tuple[float, float]:
    """Ends of the scale: at least a decade, or small differences would look large; at most four, or nothing would be told apart."""
    found = [norm for norm in norms if norm]
    if not found:
        return 1e-3, 1.0
    high = max(found)
    return max(min(*found, high / 10), high / 1e4), high


def _log_ticks(low: float, high: float) -> list[float]:
    """Ticks at 1, 2 and 5 times powers of ten; of a long scale the powers only."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    return [tick for power in range(first, last + 1) for step in steps if low <= (tick := step * 10.0**power) <= high]


def _draw(picture: Any, places: Any, rows: Sequence[Block], panel: _Panel) -> None:  # noqa: ANN401 - matplotlib has no types
    """Draw one panel into two places, the cells above and the colour scale below."""
    import numpy as np
    from matplotlib import colormaps

    axes, bar_axes = places
    figures = [[read(block) for _, read in panel.columns] for block in rows]
    values = np.array([[np.nan if value is None else value for value in row] for row in figures], np.float64)
    colours = colormaps[panel.colours].with_extremes(bad=_GREY)
    image = axes.imshow(np.ma.masked_invalid(values), norm=panel.scale, cmap=colours, aspect="auto", interpolation="nearest")
    for index, row in enumerate(figures):
        for column, value in enumerate(row):
            red, green, blue, _ = image.cmap(panel.scale(value)) if value is not None else (1, 1, 1, 1)
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
            axes.text(
                column,
                index,
                panel.text(value),
                ha="center",
                va="center",
                fontsize=9,
                weight="bold" if index == len(rows) - 1 else "normal",
                color="white" if dark else "black",
            )
    axes.set_xticks(range(len(panel.columns)), [title for title, _ in panel.columns], fontsize=9)
    axes.xaxis.tick_top()
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for index in range(1, len(rows)):
        axes.axhline(index - 0.5, color="white", linewidth=3 if index == len(rows) - 1 else 0.8)
    for column in range(1, len(panel.columns)):
        axes.axvline(column - 0.5, color="white", linewidth=0.8)
    bar = picture.colorbar(image, cax=bar_axes, orientation="horizontal", ticks=panel.ticks, format="%g")
    bar.minorticks_off()
    bar.set_label(panel.label, fontsize=8)
    bar_axes.tick_params(labelsize=8)


def _label(block: Block) -> str:
    name = block.name if len(block.name) <= _NAME_CHARACTERS else "..." + block.name[3 - _NAME_CHARACTERS :]
    return f"{name}  ({count(block.parameters)})"


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
