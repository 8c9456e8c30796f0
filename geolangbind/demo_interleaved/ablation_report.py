"""The ablations' table and the curve of data size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from geolangbind.checkpoint import atomic_path

mpl.use("Agg")
from matplotlib import pyplot as plt

AS_IT_IS = "as it is"
CURVE = "data_size.png"
_TOLD = (
    "All figures are of the **synthetic** planet: P@1 in percent on {split} scenes after {steps} steps, one seed, in brackets the "
    "difference from the first line of the table."
)
_TOLD_OF_PLACES = (
    "So few steps do not teach places beside everything else; what depends on coordinates is measured in runs that learn places alone. "
    "Noise moves the places that are trained on, never those that are ranked."
)
_SHARE = " of the rows"
_COLOURS = ("#009E73", "#D55E00", "#0072B2", "#E69F00", "#56B4E9", "#CC79A7", "#F0E442", "#999999")  # Okabe and Ito


def share_name(share: float) -> str:
    """Name of the ablation that trains on a share of the rows."""
    return f"{100 * share:g} %{_SHARE}"


def write(out: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write `report.md` and the curve, of result rows; the first of each table is what the others are compared with."""
    shares = [(_share(row["name"]), row) for row in rows]
    measured = sorted([(share, row) for share, row in shares if share is not None], key=lambda pair: pair[0])
    body = ["# Ablations (synthetic)", "", _TOLD.format(split=rows[0]["split"], steps=rows[0]["steps"])]
    mixed, places = ([row for row in rows if row["places_alone"] == alone] for alone in (False, True))
    if mixed:
        body += ["", *_table(mixed)]
    if places:
        body += ["", _TOLD_OF_PLACES, "", *_table(places)]
    if len(measured) > 1:
        _plot(out / CURVE, measured)
        body += ["", f"![P@1 by data size]({CURVE})"]
    with atomic_path(out / "report.md") as part:
        part.write_text("\n".join(body) + "\n", encoding="utf-8")
    return out / "report.md"


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    first, titles = rows[0], list(rows[0]["figures"])
    body = [_line([row["name"], *(_cell(row, first, title) for title in titles)]) for row in rows]
    chance = _line(["chance", *(f"{100 * first['figures'][title]['chance']:.1f}" for title in titles)])
    return [_line(["", *titles]), _line(["---", *["---:"] * len(titles)]), *body, chance]


def _share(name: str) -> float | None:
    if name == AS_IT_IS:
        return 100.0
    return float(name.split()[0]) if name.endswith(_SHARE) else None


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(row: Mapping[str, Any], first: Mapping[str, Any], title: str) -> str:
    value = 100 * row["figures"][title]["p1"]
    return f"{value:.1f}" + ("" if row is first else f" ({value - 100 * first['figures'][title]['p1']:+.1f})")


def _plot(path: Path, measured: Sequence[tuple[float, Mapping[str, Any]]]) -> None:
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    shares = [share for share, _ in measured]
    for title, colour in zip(measured[0][1]["figures"], _COLOURS, strict=False):
        found = [row["figures"][title] for _, row in measured]
        values = [100 * one["p1"] for one in found]
        ends = [[100 * max(0.0, one["p1"] - one["low"]) for one in found], [100 * max(0.0, one["high"] - one["p1"]) for one in found]]
        axes.errorbar(shares, values, yerr=ends, color=colour, marker="o", markersize=3, linewidth=1.2, elinewidth=0.6, label=title)
    axes.set_xscale("log")
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.minorticks_off()
    axes.set_ylim(0, 100)
    axes.set_xlabel("share of the rows, %")
    axes.set_ylabel("P@1, %; whiskers: 95 %, over scenes")
    axes.set_title("Interleaved encoder by data size, synthetic planet", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)
