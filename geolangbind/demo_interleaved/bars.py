"""The demo's picture: P@1 of every model by task, with intervals, seeds and chance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from geolangbind.demo_interleaved.goals import BOX_TYPE, CUT, DUAL, MLP, OURS, TOLD
from geolangbind.demo_interleaved.table import Shown

mpl.use("Agg")
from matplotlib import pyplot as plt

_COLOURS = {OURS: "#009E73", CUT: "#D55E00", TOLD: "#E69F00", DUAL: "#D55E00", MLP: "#0072B2", BOX_TYPE: "#999999"}
"""Okabe and Ito's colour-blind-safe palette."""
_ROW_INCHES, _GAP = 0.21, 0.7


def plot_table(path: Path, shown: Sequence[Shown]) -> None:
    """Bars from top to bottom in the order of the table; whiskers are 95 % intervals, points the lowest and the highest seed."""
    places, place = [], 0.0
    for before, one in zip([None, *shown], shown, strict=False):
        place += 1 + _GAP * (before is not None and before.title != one.title)
        places.append(place)
    figure, axes = plt.subplots(figsize=(9.5, 1.4 + _ROW_INCHES * place), layout="constrained")
    for where, one in zip(places, shown, strict=True):
        axes.barh(where, 100 * one.value, 0.86, color=_COLOURS[one.model])
        errors = [[100 * max(0.0, one.value - one.interval[0])], [100 * max(0.0, one.interval[1] - one.value)]]
        axes.errorbar(100 * one.value, where, xerr=errors, fmt="none", ecolor="#222222", elinewidth=1, capsize=2)
        axes.plot([100 * seed for seed in one.seeds], [where] * 2, ".", color="#222222", markersize=3)
        axes.plot([100 * one.chance] * 2, [where - 0.43, where + 0.43], color="black", linewidth=1.2, linestyle=":")
    titles: dict[str, list[float]] = {}
    for where, one in zip(places, shown, strict=True):
        titles.setdefault(one.title, []).append(where)
    axes.set_yticks([sum(group) / len(group) for group in titles.values()], list(titles), fontsize=8)
    axes.set_ylim(place + 1, 0)
    axes.set_xlim(0, 100)
    axes.set_xlabel("P@1, %; dotted: chance; whiskers: 95 %, over scenes; points: lowest and highest seed")
    axes.set_title("Held-out scenes of the synthetic planet", fontsize=10)
    named = [model for model in _COLOURS if any(one.model == model for one in shown)]
    handles = [plt.Rectangle((0, 0), 1, 1, color=_COLOURS[model]) for model in named]
    axes.legend(handles, named, ncols=2, loc="lower center", bbox_to_anchor=(0.4, 1.015), frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
