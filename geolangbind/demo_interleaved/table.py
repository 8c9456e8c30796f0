"""The demo's table: what was measured, over seeds, beside chance and beside what was to be beaten, whatever came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from geolangbind.demo_interleaved.goals import OURS, Goal, Line
from geolangbind.instruct.ranking import Standings, lead, mean_of

Results = Mapping[tuple[str, str], Sequence[Standings]]
"""By ranking and model, one per seed."""

_HEAD = ("task", "model", "P@1", "seeds", "95 %", "chance", "candidates", "queries", "interleaved leads by", "wanted", "")
NOTE = (
    "P@1 in percent, equal scores in expectation. The figure is the mean over seeds, `seeds` the lowest and the highest of them; intervals "
    "draw the held-out scenes anew with the seeds averaged, so they do not hold what another seed would change. Leads are measured on the "
    "same queries. `open` is a goal whose border lies inside the interval."
)


@dataclass(frozen=True)
class Shown:
    """One line with its figures, shares of queries.

    Attributes:
        title: the task.
        model: who was asked.
        value: P@1, mean over seeds.
        seeds: lowest and highest of the seeds.
        interval: 95 % of the mean.
        chance: of a model that tells nothing apart.
        candidates: fewest and most of a query.
        queries: how many.
        runs: seeds.
        lead: of the interleaved encoder in P@1, with the ends of its interval; None where nothing is to be compared.
        wanted: the goal in words.
        verdict: reached, missed, or so but open; empty without a goal.
    """

    title: str
    model: str
    value: float
    seeds: tuple[float, float]
    interval: tuple[float, float]
    chance: float
    candidates: tuple[int, int]
    queries: int
    runs: int
    lead: tuple[float, float, float] | None = None
    wanted: str = ""
    verdict: str = ""


def measure_lines(lines: Sequence[Line], results: Results) -> list[Shown]:
    """Figures of all lines that were measured; a goal without the interleaved encoder beside it stays unjudged.

    Raises:
        DataError: what is compared was not asked of the same rows.
    """
    shown = []
    for line in lines:
        runs = _runs(results, line.tasks, line.model)
        if runs:
            shown.append(_shown(line, runs, _runs(results, (line.goal.tasks if line.goal else ()) or line.tasks, OURS)))
    return shown


def _runs(results: Results, tasks: Sequence[str], model: str) -> list[Standings]:
    """Standings by seed on several rankings laid end to end; none if one was not measured."""
    if any((task, model) not in results for task in tasks):
        return []
    return [_joined(parts) for parts in zip(*(results[task, model] for task in tasks), strict=True)]


def _joined(parts: Sequence[Standings]) -> Standings:
    ids, groups, scenes = (tuple(chain(*(getattr(part, told) for part in parts))) for told in ("ids", "groups", "scenes"))
    values, chance, candidates = (np.concatenate([getattr(part, told) for part in parts]) for told in ("values", "chance", "candidates"))
    return Standings(ids, groups, scenes, values, chance, candidates)


def _shown(line: Line, runs: Sequence[Standings], ours: Sequence[Standings]) -> Shown:
    mean = mean_of(runs)
    p1, own = mean.values[:, 0], [float(run.values[:, 0].mean()) for run in runs]
    ahead, verdict = None, ""
    if line.goal and ours:
        best = mean_of(ours)
        ahead = None if line.goal.rule == "chance" else lead(best, mean)
        verdict = _verdict(line.goal, best.values[:, 0], p1, mean)
    return Shown(
        line.title, line.model, float(p1.mean()), (min(own), max(own)), mean.interval(p1), float(mean.chance[:, 0].mean()),
        (int(mean.candidates.min()), int(mean.candidates.max())), len(mean), len(runs), ahead, str(line.goal or ""), verdict,
    )  # fmt: skip


def _verdict(goal: Goal, ours: NDArray[np.float64], theirs: NDArray[np.float64], asked: Standings) -> str:
    """Every goal is a difference query by query whose mean has to be 0 or more."""
    match goal.rule:
        case "ahead":
            margins = ours - theirs - goal.by
        case "within":
            margins = ours - theirs + goal.by
        case "times":
            margins = ours - goal.by * theirs
        case "chance":
            margins = ours - goal.by * asked.chance[:, 0]
        case "beyond":
            return "reached" if asked.interval(ours - theirs)[0] > 0 else "missed"
    value, (low, high) = float(margins.mean()), asked.interval(margins)
    met = value > 0 if goal.rule == "ahead" and not goal.by else value >= -1e-12
    return ("reached" if met else "missed") + (", open" if low < 0 < high else "")


def terminal(shown: Sequence[Shown], title: str) -> Table:
    """The table for the terminal."""
    table = Table(title=f"{title}; P@1 in %, synthetic planet", title_justify="left")
    for column in _HEAD:
        table.add_column(column, justify="left" if column in ("task", "model", "wanted", "") else "right", overflow="fold")
    for before, one in zip([None, *shown], shown, strict=False):
        first = before is None or before.title != one.title
        if first and before is not None:
            table.add_section()
        table.add_row(*_cells(one, first), style="bold" if one.model == OURS else None)
    return table


def markdown(shown: Sequence[Shown]) -> list[str]:
    """The same table as lines of Markdown, with what its columns mean."""
    rows = [_HEAD, ("---",) * len(_HEAD), *(_cells(one, True) for one in shown)]
    return ["All figures are of the **synthetic** planet, on held-out scenes.", "", *map(_row, rows), "", NOTE]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(one: Shown, first: bool) -> tuple[str, ...]:
    lead = "" if one.lead is None else f"{100 * one.lead[0]:+.1f} ({_span(one.lead[1:], signed=True)})"
    return (
        one.title if first else "", one.model, f"{100 * one.value:.1f}", f"{_span(one.seeds)} ({one.runs})" if one.runs > 1 else "one",
        _span(one.interval), f"{100 * one.chance:.1f}", "-".join(map(str, sorted({*one.candidates}))), str(one.queries), lead,
        one.wanted, one.verdict,
    )  # fmt: skip


def _span(ends: Sequence[float], signed: bool = False) -> str:
    low, high = (f"{100 * end:{'+' if signed else ''}.1f}" for end in ends)
    return f"{low} to {high}" if signed else f"{low}-{high}"
