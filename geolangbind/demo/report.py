"""The demo's report: a table in the terminal and in Markdown, pictures, and what the numbers say about merging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from geolangbind.demo import plots
from geolangbind.planet.groups import MODALITIES

_OTHERS = tuple(modality for modality in MODALITIES if modality != "rgb")


def mean(report: Mapping[str, Any], model: str, modalities: tuple[str, ...] = MODALITIES) -> float:
    """Mean top-1 of a model over modalities."""
    return float(sum(report["zero_shot"][model][modality] for modality in modalities) / len(modalities))


def render(report: Mapping[str, Any]) -> Table:
    """The table of top-1 per model and modality, in percent, for the terminal."""
    table = Table(title=f"zero-shot top-1 %, held-out scenes of the synthetic planet ({report['classes']} classes)")
    for column in ("model", *MODALITIES, "mean"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for row in _rows(report):
        table.add_row(*row, style="bold" if row[0] == "merged" else None)
    return table


def _rows(report: Mapping[str, Any], intervals: bool = False) -> list[list[str]]:
    rows = [["chance", *[f"{100 * report['chance']:.1f}"] * (len(MODALITIES) + 1)]]
    for name, scores in report["zero_shot"].items():
        cells = []
        for modality in MODALITIES:
            low, high = report["interval"][name][modality]
            cells.append(f"{100 * scores[modality]:.1f}" + (f" ({100 * low:.0f}-{100 * high:.0f})" if intervals else ""))
        rows.append([name, *cells, f"{100 * mean(report, name):.1f}"])
    tops = [report["ceiling"][modality] for modality in MODALITIES]
    rows.append(["ceiling", *[f"{100 * top:.1f}" for top in tops], f"{100 * sum(tops) / len(tops):.1f}"])
    return rows


def findings(report: Mapping[str, Any]) -> list[str]:
    """What the table says about the paper's expectations, one sentence each, whatever it is."""
    scores, chance = report["zero_shot"], report["chance"]
    lowest = min(MODALITIES, key=lambda modality: scores["merged"][modality])
    gain = mean(report, "others", _OTHERS) - mean(report, "base", _OTHERS)
    kept = mean(report, "merged", _OTHERS) - mean(report, "base", _OTHERS)
    told = [
        f"Every modality of merged at least 4x chance: {_yes(scores['merged'][lowest] >= 4 * chance)} "
        f"(lowest {lowest}, {scores['merged'][lowest] / chance:.1f}x).",
        f"On RGB, merged at least base: {_yes(scores['merged']['rgb'] >= scores['base']['rgb'])}; within 5 points of rgb: "
        f"{_yes(scores['rgb']['rgb'] - scores['merged']['rgb'] <= 0.05)} "
        f"(base {100 * scores['base']['rgb']:.1f}, rgb {100 * scores['rgb']['rgb']:.1f}, merged {100 * scores['merged']['rgb']:.1f}).",
        f"On the other five, others gains {100 * gain:+.1f} points over base and merged {100 * kept:+.1f}"
        + (
            f": it keeps {100 * max(0.0, kept / gain):.0f} % (expected from the paper: at least 80 %)."
            if gain > 0
            else "; there is no gain to keep."
        ),
        f"Six-modality mean: others {100 * mean(report, 'others'):.1f}, merged {100 * mean(report, 'merged'):.1f}, generator from others "
        f"{100 * mean(report, 'merged-generator'):.1f}, best of the sweep ({report['best_merge']}) {100 * mean(report, 'merged-best'):.1f}"
        + (f", joint {100 * mean(report, 'joint'):.1f}." if "joint" in scores else "."),
    ]
    return told


def _yes(condition: bool) -> str:
    return "yes" if condition else "no"


def write(out: Path, report: Mapping[str, Any], sections: Sequence[str] = ()) -> None:
    """Write `report.md`, with further `sections` at its end, and the pictures into `out`."""
    plots.plot_accuracy(out / "accuracy.png", report)
    runs = ("base-rgb", "base", "rgb", "others", "joint")
    plots.plot_curves(out / "curves.png", {name: out / name for name in runs if (out / name / "metrics.jsonl").is_file()})
    plots.plot_pictures(out / "pictures.png", out / "merged", out / "planet-val")
    header = ["model", *MODALITIES, "mean"]
    lines = [
        "# The demo's report",
        "",
        f"Profile `{report['profile']['name']}`. All numbers are on the **synthetic** planet: zero-shot top-1 in percent over "
        f"{report['classes']} classes, 95 % Wilson intervals, n = {report['n']['rgb']} held-out scenes per modality. `ceiling` is the best "
        "any method can do: some classes are alike by construction in some modalities.",
        "",
        _markdown_row(header),
        _markdown_row(["---"] * len(header)),
        *map(_markdown_row, _rows(report, intervals=True)),
        "",
        "![accuracy](accuracy.png)",
        "",
        *(f"- {line}" for line in findings(report)),
        "",
        "Sweep of m2 with m1 = 0.9, six-modality mean top-1 in percent on separate tuning scenes:",
        "",
        _markdown_row(["m2", *report["sweep_m2"]["all weights"]]),
        _markdown_row(["---"] * (1 + len(report["sweep_m2"]["all weights"]))),
        *(_markdown_row([kind, *(f"{100 * value:.1f}" for value in row.values())]) for kind, row in report["sweep_m2"].items()),
        "",
        "![pictures](pictures.png)",
        "",
        "![curves](curves.png)",
        "",
        *sections,
        "",
        "Seconds per stage: " + ", ".join(f"{name} {seconds:.0f}" for name, seconds in report["seconds"].items()) + ".",
    ]
    (out / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
