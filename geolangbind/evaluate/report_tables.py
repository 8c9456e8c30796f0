"""Result rows to tables: models down, datasets across, the best where intervals allow to say so, averages as the suite groups them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from geolangbind.evaluate.report_rows import model_names
from geolangbind.evaluate.results import ResultRow

TASKS = {
    "zero_shot": ("Zero-shot classification", "Images are matched with sentences about each class; no label was trained on."),
    "multi_label": ("Zero-shot multi-label classification", "Several classes may be true of one image."),
    "retrieval": ("Retrieval between images and texts", "Share of queries whose true partner is among the first k found."),
    "cross_sensor": ("Retrieval across sensors", "Find the same place in images of another sensor; a->b: query a, candidates b."),
    "segmentation": ("Segmentation", "A head learns on frozen patch features; the model itself is not trained."),
    "open_vocabulary": ("Open-vocabulary segmentation", "Patches are matched with words; nothing was trained."),
    "knn": ("Nearest neighbours", "Class by vote of the nearest labelled vectors."),
    "linear_probe": ("Linear probe", "Logistic regression on frozen vectors."),
    "few_shot": ("Few-shot probe", "Logistic regression on a few labelled vectors per class."),
    "crash_test": ("Crash test", "The same place through any sensor should give the same vector."),
}
"""Heading and one sentence by task, in the order of the page."""

OVERVIEW = "overview"
"""The section of the page before all tasks."""

_WRITTEN = {"unnamed": "metric not named", "miou": "mIoU", "iou": "IoU", "map": "mAP", "f1": "F1", "ece": "ECE", "auc": "AUC"}
_NOT_SHARES = ("gap", "distance", "loss", "ratio", "error", "ece", "drift", "margin")
"""Last words of metrics that are not shares where more is better: shown as they are, and no model is called best."""


@dataclass(frozen=True)
class Column:
    """A dataset seen by one modality; `chance` and `n` are None where nobody said. `variant` is what else tells it from others."""

    dataset: str
    modality: str
    variant: tuple[str, ...] = ()
    chance: float | None = None
    n: int | None = None
    average: bool = False


@dataclass(frozen=True)
class Cell:
    """A number; `best` if its interval lies above those of all others in its column."""

    value: float
    low: float | None = None
    high: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A model's cells, one per column, None where it was not measured."""

    model: str
    published: bool
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Table:
    """One metric of one task of one suite."""

    suite: str
    task: str
    metric: str
    synthetic: bool
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]

    @property
    def percent(self) -> bool:
        """Whether values are shares."""
        return is_share(self.metric)


def is_share(metric: str) -> bool:
    """Whether a metric is a share in [0, 1] where more is better."""
    return metric.lower().split("_")[-1] not in _NOT_SHARES


def make_tables(rows: Sequence[ResultRow], averages: Mapping[str, Mapping[str, Sequence[str]]] | None = None) -> list[Table]:
    """Tables of all rows, in the order of `TASKS`, then of the rows.

    Args:
        rows: newest of each kind, see `report_rows.newest_rows`.
        averages: by suite, name of an average to the names of its datasets.
    """
    names = model_names(rows)
    groups: dict[tuple[str, str, str], list[ResultRow]] = {}
    for row in rows:
        groups.setdefault((row.task, row.suite, row.metric), []).append(row)
    order = list(TASKS)
    tables = [_table(group, names, (averages or {}).get(suite, {})) for (_, suite, _), group in groups.items()]
    return sorted(tables, key=lambda table: order.index(table.task) if table.task in order else len(order))


def averages_of(rows: Sequence[ResultRow], averages: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], Cell]:
    """Averages of a suite's zero-shot top-1 accuracies, by model and average, where a model was measured on all its datasets."""
    own = [row for row in rows if (row.task, row.metric) == ("zero_shot", "top1")]
    return {
        (line.model, column.dataset): cell
        for table in make_tables(own, {row.suite: averages for row in own})
        for line in table.lines
        for column, cell in zip(table.columns, line.cells, strict=True)
        if column.average and cell
    }


def _table(rows: Sequence[ResultRow], names: Mapping[tuple[str, bool], str], averages: Mapping[str, Sequence[str]]) -> Table:
    first = rows[0]
    measured = list(dict.fromkeys(_column(row) for row in rows if not row.published))
    places = {(column.dataset, column.modality) for column in measured}
    columns = measured + list(dict.fromkeys(Column(r.dataset, r.modality) for r in rows if (r.dataset, r.modality) not in places))
    by_model: dict[tuple[str, bool], dict[Column, Cell]] = {}
    for row in rows:
        for column in columns:
            alike = (row.dataset, row.modality) == (column.dataset, column.modality)
            if _column(row) == column or (row.published and alike):  # a published number names no revision and no settings
                by_model.setdefault((row.model, row.published), {})[column] = Cell(row.value, row.low, row.high)
    means = {Column(name, "", average=True): datasets for name, datasets in averages.items()}
    for cells in by_model.values():
        cells.update({column: cell for column, datasets in means.items() if (cell := _average(cells, datasets))})
    drawn = [*columns, *(column for column in means if any(column in cells for cells in by_model.values()))]
    told = {column: _facts(column, rows, means) for column in drawn}
    lines = [Line(names[key], key[1], tuple(cells.get(column) for column in told)) for key, cells in by_model.items()]
    if is_share(first.metric):
        lines = _mark_best(lines)
    synthetic = any(row.synthetic for row in rows)
    return Table(first.suite, first.task, first.metric, synthetic, tuple(told.values()), tuple(lines))


def _column(row: ResultRow) -> Column:
    return Column(row.dataset, row.modality, (row.bands, row.settings, row.revision))


def _facts(column: Column, rows: Sequence[ResultRow], means: Mapping[Column, Sequence[str]]) -> Column:
    """The column with the chance level and the number of trials behind it, as measured, else as published."""
    if column.average:
        levels = [_chance([row for row in rows if row.dataset == name]) for name in means[column]]
        known = [level for level in levels if level is not None]
        return replace(column, chance=mean(known) if len(known) == len(levels) else None)
    own = [row for row in rows if (row.dataset, row.modality) == (column.dataset, column.modality)]
    exact = [row for row in own if _column(row) == column] or own
    return replace(column, chance=_chance(exact), n=next((row.n for row in exact if row.n), None))


def _chance(rows: Sequence[ResultRow]) -> float | None:
    return next((row.chance for row in sorted(rows, key=lambda row: row.published) if row.chance or not row.published), None)


def _average(cells: Mapping[Column, Cell], datasets: Sequence[str]) -> Cell | None:
    """Mean over datasets, None unless each is there once. Half-widths of independent datasets add in squares."""
    found = [[cell for column, cell in cells.items() if column.dataset == name] for name in datasets]
    if not found or any(len(own) != 1 for own in found):
        return None
    every = [cell for own in found for cell in own]
    middle = mean(cell.value for cell in every)
    spans = [(cell.value - cell.low, cell.high - cell.value) for cell in every if cell.low is not None and cell.high is not None]
    if len(spans) < len(every):
        return Cell(middle)
    below, above = (math.hypot(*side) / len(every) for side in zip(*spans, strict=True))
    return Cell(middle, middle - below, middle + above)


def _mark_best(lines: Sequence[Line]) -> list[Line]:
    """Mark a cell as best if its interval begins above the end of every other's. A number without an interval can neither win nor lose."""
    marked = [list(line.cells) for line in lines]
    for place in range(len(lines[0].cells)):
        cells = [line.cells[place] for line in lines]
        for number, cell in enumerate(cells):
            others = [other for other in (*cells[:number], *cells[number + 1 :]) if other]
            if cell and cell.low is not None and others and all(other.high is not None and cell.low > other.high for other in others):
                marked[number][place] = replace(cell, best=True)
    return [replace(line, cells=tuple(cells)) for line, cells in zip(lines, marked, strict=True)]


def metric_title(metric: str) -> str:
    """A metric as the field writes it: top1 as top-1, image_to_text_r5 as image to text R@5."""
    words = [_WRITTEN.get(word, re.sub(r"^r(\d+)$", r"R@\1", re.sub(r"^top(\d+)$", r"top-\1", word))) for word in metric.split("_")]
    return " ".join(words)


def short_name(dataset: str) -> str:
    """The last part of a folder's name."""
    return dataset.rstrip("/").rsplit("/", 1)[-1]


def column_title(column: Column, table: Table) -> str:
    """Dataset and modality; with what tells columns apart that are of one dataset and modality: bands, or the hash of settings or data."""
    if column.average:
        return column.dataset.replace("_", " ")
    alike = [other.variant for other in table.columns if (other.dataset, other.modality) == (column.dataset, column.modality)]
    told = [values[0] for values in zip(column.variant, *alike, strict=False) if len(set(values)) > 1]
    return " ".join(filter(None, [short_name(column.dataset), column.modality.upper(), *(_brief(text) for text in told)]))


def _brief(text: str) -> str:
    words = text.split()
    return f"{len(words)} bands" if len(words) > 6 else text if len(text) <= 24 else text[:8]


def short_title(table: Table) -> str:
    """Task, metric and suite."""
    suite = f" · suite {table.suite}" if table.suite else ""
    return f"{TASKS.get(table.task, (table.task, ''))[0]} · {metric_title(table.metric)}{', %' if table.percent else ''}{suite}"


def table_title(table: Table) -> str:
    """Metric, suite and whether the data is synthetic."""
    about = [f"suite {table.suite}" if table.suite else "", "synthetic data" if table.synthetic else ""]
    unit = ", %" if table.percent else ""
    return f"{metric_title(table.metric)}{unit}" + "".join(f" · {part}" for part in about if part)
