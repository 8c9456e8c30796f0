"""The study's pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from geolangbind.planet.groups import MODALITIES

_COLOURS = dict(zip(MODALITIES, ("#c1440e", "#5b6c8f", "#2e7d4f", "#8e5aa8", "#d99a2b", "#6b4f3a"), strict=True))
_GOAL_KEPT = 90.0
Cells = Mapping[str, Sequence[Mapping[str, Any]]]


def accuracy(cells: Cells, path: Path) -> None:
    """A row per arm, a dot per modality and seed, a bar at the mean."""
    arms = [arm for arm in cells if len(cells[arm][0]["zero_shot"]) > 1]
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(arms) + 1.4), layout="constrained")
    for place, arm in enumerate(arms):
        for cell in cells[arm]:
            for modality, entry in cell["zero_shot"].items():
                axes.plot(100 * entry["value"], place, "o", color=_COLOURS[modality], alpha=0.75, markersize=5)
        middle = mean(100 * entry["value"] for cell in cells[arm] for entry in cell["zero_shot"].values())
        axes.plot([middle, middle], [place - 0.3, place + 0.3], color="black", linewidth=2)
        axes.annotate(f"{middle:.1f}", (middle, place - 0.32), ha="center", va="bottom", fontsize=8)
    axes.set_yticks(range(len(arms)), arms)
    axes.invert_yaxis()
    axes.set_xlabel("zero-shot top-1, % (synthetic planet; black: mean of six modalities)")
    for modality, colour in _COLOURS.items():
        axes.plot([], [], "o", color=colour, label=modality)
    axes.legend(ncols=6, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, handletextpad=0.1, columnspacing=1)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def kept(cells: Cells, path: Path) -> None:
    """Accuracy kept on sensors never seen, per arm, against the goal."""
    arms = [arm for arm in cells if any("unseen" in cell for cell in cells[arm])]
    if not arms:
        return
    sensors = list(cells[arms[0]][0]["unseen"])
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(sensors) + 1.4), layout="constrained")
    height = 0.8 / len(arms)
    for number, arm in enumerate(arms):
        shares = [mean(100 * cell["unseen"][sensor]["kept"] for cell in cells[arm]) for sensor in sensors]
        axes.barh([place + (number - (len(arms) - 1) / 2) * height for place in range(len(sensors))], shares, height, label=arm)
    axes.axvline(_GOAL_KEPT, color="black", linewidth=1, linestyle=":")
    axes.set_yticks(range(len(sensors)), sensors)
    axes.invert_yaxis()
    axes.set_xlabel("accuracy kept on a sensor never seen, % of the nearest trained one (dotted: goal)")
    axes.legend(ncols=len(arms), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=150)
    plt.close(figure)
