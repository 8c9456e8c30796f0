"""The outcome of a sweep: which pair is best, which are on the Pareto front; as JSON, Markdown and a terminal table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from geolangbind.checkpoint import atomic_path
from geolangbind.sweep.grid import PUBLISHED, Pair
from geolangbind.sweep.pareto import best_of, difference, pareto_front
from geolangbind.sweep.points import Point

FORMAT, FORMAT_VERSION = "geolangbind-sweep", 1
_SHOWN_FRONT = 12  # on a terminal; with six modalities, half of a grid may be on the front
JSON_NAME, MARKDOWN_NAME, PICTURE_NAME = "sweep.json", "sweep.md", "heatmap.png"


@dataclass(frozen=True, eq=False)
class Report:
    """A finished sweep.

    Attributes:
        m1: ascending values.
        m2: ascending values.
        points: every pair of the grid; pairs that give the same merge share a point.
        inputs: see `points.open_points`.
        synthetic: whether the validation data is.
        command: what was typed.
        measured: how many points this run measured; the others were there before.
        seconds: how long that took.
    """

    m1: tuple[float, ...]
    m2: tuple[float, ...]
    points: Mapping[Pair, Point]
    inputs: Mapping[str, Any]
    synthetic: bool
    command: str
    measured: int
    seconds: float

    @property
    def unique(self) -> list[Point]:
        """Every measured point once."""
        return list({id(point): point for point in self.points.values()}.values())

    @property
    def modalities(self) -> tuple[str, ...]:
        """In the order of the shards."""
        return tuple(next(iter(self.points.values())).scores)

    def table(self, modality: str | None = None) -> NDArray[np.float64]:
        """Top-1 on the grid, (len(m2), len(m1)); without a modality the mean over all."""

        def value(point: Point) -> float:
            return point.mean if modality is None else point.scores[modality].top1

        return np.array([[value(self.points[Pair(m1, m2)]) for m1 in self.m1] for m2 in self.m2])

    def name(self, point: Point) -> str:
        """The coefficients of a point: "0.9 / 0.5", or "any / 1" where m1 does not matter."""
        pairs = [pair for pair, there in self.points.items() if there is point]
        m1 = "any" if len(pairs) == len(self.m1) > 1 and len({pair.m2 for pair in pairs}) == 1 else f"{point.pair.m1:g}"
        return f"{m1} / {point.pair.m2:g}"


def rows(report: Report, most_front: int | None = None) -> list[tuple[str, Point]]:
    """The points worth a line of the table, with what they are: best, published, the parents, then the first of the Pareto front."""
    best, front = best_of(report.unique), pareto_front(report.unique)[:most_front]
    named = [("best mean", best)]
    for what, pair in (("published", PUBLISHED), ("base", Pair(0, 0)), ("rgb", Pair(1, 0)), ("others", Pair(report.m1[0], 1))):
        if pair in report.points:
            named.append((what, report.points[pair]))
    merged: dict[int, tuple[list[str], Point]] = {}
    for what, point in named:
        merged.setdefault(id(point), ([], point))[0].append(what)
    for point in front:
        merged.setdefault(id(point), ([], point))[0].append("front")
    return [(", ".join(what), point) for what, point in merged.values()]


def findings(report: Report) -> list[str]:
    """What the sweep says, in sentences."""
    best, front = best_of(report.unique), pareto_front(report.unique)
    found = [f"Best mean over {len(report.modalities)} modalities: {100 * best.mean:.1f} % at m1 / m2 = {report.name(best)}."]
    if PUBLISHED in report.points:
        published = report.points[PUBLISHED]
        rank = 1 + sum(point.mean > published.mean for point in report.unique)
        text = f"0.9 / 0.5 has {100 * published.mean:.1f} %, rank {rank} of {len(report.unique)} different merges"
        if published is not best:
            gain = difference(best, published)
            verdict = "no more than chance would give" if gain.within_chance else "more than chance would give"
            text += f"; the best is {100 * gain.share:.1f} ± {100 * gain.half:.1f} points ahead (95 %, same images), {verdict}"
            text += f" if it had not been picked as the best of {len(report.unique)}: measure it on other scenes"
        where = "on" if any(point is published for point in front) else "not on"
        found.append(f"{text}. It is {where} the Pareto front.")
    level = sum(difference(best, point).within_chance for point in report.unique)
    found.append(
        f"{level} of {len(report.unique)} merges differ from the best by no more than chance; {len(front)} are on the Pareto front."
    )
    return found


def render(report: Report) -> Table:
    """Top-1 in percent of the points worth naming; the highest value of the whole grid per column in bold."""
    table = Table(title="zero-shot top-1, %" + (" (synthetic data)" if report.synthetic else ""))
    table.add_column("m1 / m2")
    for column in ("mean", *report.modalities):
        table.add_column(column, justify="right")
    table.add_column("what")
    highest = [report.table(modality).max() for modality in (None, *report.modalities)]
    shown = rows(report, _SHOWN_FRONT)
    if hidden := len(rows(report)) - len(shown):
        table.caption = f"and {hidden} more on the front, see {MARKDOWN_NAME}"
    for what, point in shown:
        values = [point.mean, *(score.top1 for score in point.scores.values())]
        cells = [
            f"[bold]{100 * value:.1f}[/]" if value == top else f"{100 * value:.1f}" for value, top in zip(values, highest, strict=True)
        ]
        table.add_row(report.name(point), *cells, what)
    return table


def write_report(folder: Path, report: Report) -> None:
    """Write `sweep.json` and `sweep.md`."""
    with atomic_path(folder / JSON_NAME) as part:
        part.write_text(json.dumps(_to_json(report), indent=1) + "\n", encoding="utf-8")
    with atomic_path(folder / MARKDOWN_NAME) as part:
        part.write_text(_to_markdown(report), encoding="utf-8")


def _to_json(report: Report) -> dict[str, Any]:
    def told(point: Point) -> dict[str, Any]:
        scores = {modality: {"top1": s.top1, "low": s.low, "high": s.high, "n": s.n} for modality, s in point.scores.items()}
        return {"m1": point.pair.m1, "m2": point.pair.m2, "mean": point.mean, "modalities": scores}

    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "synthetic": report.synthetic,
        "inputs": report.inputs,
        "m1": report.m1,
        "m2": report.m2,
        "mean": report.table().tolist(),
        "top1": {modality: report.table(modality).tolist() for modality in report.modalities},
        "best": told(best_of(report.unique)),
        "published": told(report.points[PUBLISHED]) if PUBLISHED in report.points else None,
        "pareto_front": [told(point) for point in pareto_front(report.unique)],
        "findings": findings(report),
        "measured": report.measured,
        "seconds": round(report.seconds, 1),
        "command": report.command,
    }


def _to_markdown(report: Report) -> str:
    counts = sorted({score.n for score in report.unique[0].scores.values()})
    data = "**synthetic** scenes" if report.synthetic else "images"
    lines = [
        "# Sweep of merge coefficients",
        "",
        f"Zero-shot top-1 on {' or '.join(map(str, counts))} {data} per modality (`{report.inputs['data']['path']}`); "
        f"kernel generator: {report.inputs['generator']}.",
        "",
        *(f"- {line}" for line in findings(report)),
        "",
        f"![heatmap]({PICTURE_NAME})",
        "",
        *_markdown_table(("m1 / m2", "mean", *report.modalities, "what"), _percent_rows(report)),
        "",
        "Mean over modalities, m1 to the right, m2 downwards:",
        "",
        *_markdown_table(
            ("m2 \\ m1", *(f"{m1:g}" for m1 in report.m1)),
            [[f"{m2:g}", *(f"{100 * value:.1f}" for value in row)] for m2, row in zip(report.m2, report.table(), strict=True)],
        ),
        "",
        "Made with:",
        "",
        f"    {report.command}",
        "",
    ]
    return "\n".join(lines)


def _percent_rows(report: Report) -> list[list[str]]:
    return [
        [report.name(point), *(f"{100 * value:.1f}" for value in (point.mean, *(s.top1 for s in point.scores.values()))), what]
        for what, point in rows(report)
    ]


def _markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {' | '.join(row)} |" for row in body)]
