"""The pictures that need result rows and no model: models by dataset, few-shot curves, calibration, confusion."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geolangbind.evaluate.pictures.album import forget, keep
from geolangbind.evaluate.pictures.curves import Shot, draw_confusion, draw_few_shot, draw_reliability
from geolangbind.evaluate.pictures.matrix import draw_matrix
from geolangbind.evaluate.report_rows import model_names
from geolangbind.evaluate.report_tables import OVERVIEW, Table, is_share, short_name
from geolangbind.evaluate.results import ResultRow

PREFIX = "results_"
"""Names of these pictures begin with it: a joined report draws its own and leaves those of its parts."""
Details = Mapping[ResultRow, Mapping[str, Any]]
"""What lies beside rows, see `report_rows.read_details`."""
_SHOTS = re.compile(r"_(\d+)_shots$")
_MAIN = ("top1", "map", "mean_recall", "miou")
_MOST_CONFUSIONS = 6


def draw_results(out: Path, rows: Sequence[ResultRow], tables: Sequence[Table], details: Details) -> None:
    """Draw what the rows and their details hold into `out/pictures`, in place of what was drawn before."""
    forget(out, PREFIX)
    if main := _main_tables(tables):
        caption = (
            "Values in percent. The colour runs from chance (from 0, where chance is unknown) to a perfect score, so that tasks of few and "
            "of many classes can be compared."
        )
        if any(line.published for table in main for line in table.lines):
            caption += " Rows marked as published are copied from papers."
        keep(out, f"{PREFIX}matrix", draw_matrix(main), OVERVIEW, "Models by dataset", caption)
    if curves := _few_shot(rows):
        caption = "Accuracy over the number of labelled images per class; the band is the 95 % interval."
        keep(out, f"{PREFIX}few_shot", draw_few_shot(curves), "few_shot", "Few-shot curves", caption)
    for task in dict.fromkeys(row.task for row in details):
        _draw_details(out, task, {row: told for row, told in details.items() if row.task == task}, model_names(rows))


def _main_tables(tables: Sequence[Table]) -> list[Table]:
    """One table of shares per task and suite: of its main metric, else of its first."""
    groups: dict[tuple[str, str], list[Table]] = {}
    for table in tables:
        if is_share(table.metric) and table.task != "few_shot":
            groups.setdefault((table.task, table.suite), []).append(table)
    return [next((table for name in _MAIN for table in group if table.metric.endswith(name)), group[0]) for group in groups.values()]


def _few_shot(rows: Sequence[ResultRow]) -> dict[str, dict[str, list[Shot]]]:
    names, curves = model_names(rows), dict[str, dict[str, list[Shot]]]()
    for row in rows:
        found = _SHOTS.search(row.metric) if row.task == "few_shot" else None
        if found:
            shots = int(found[1])
            several = len({other.dataset for other in rows if other.task == "few_shot"}) > 1
            panel = f"{short_name(row.dataset)} {row.modality}" if several else row.modality
            curve = curves.setdefault(panel, {}).setdefault(names[row.model, row.published], [])
            curve.append(Shot(shots, row.value, row.low, row.high, row.chance))
    return curves


def _draw_details(out: Path, task: str, details: Details, names: Mapping[tuple[str, bool], str]) -> None:
    calibrated: dict[str, dict[str, Sequence[Mapping[str, float]]]] = {}
    for row, told in details.items():
        if told.get("reliability"):
            calibrated.setdefault(_place(row), {})[names[row.model, row.published]] = told["reliability"]
    if calibrated:
        caption = (
            "Every point is a bin of images, the larger the more of them. On the dotted line a model is right as often as it says to be; "
            "below it, it is too sure of itself. ECE: mean distance from the line, over all images."
        )
        keep(out, f"{PREFIX}{task}_calibration", draw_reliability(calibrated), task, "Calibration", caption)
    confused = [(row, told) for row, told in details.items() if told.get("confusion") and told.get("classes")]
    if len({row.model for row, _ in confused}) > 1:
        return  # a page that compares models would drown in them; each model's own page has its own
    for number, (row, told) in enumerate(confused[:_MOST_CONFUSIONS]):
        caption = "Rows are true classes, columns what they were taken for, in percent of the row; only 5 % and more are printed."
        figure = draw_confusion(told["classes"], told["confusion"])
        keep(out, f"{PREFIX}{task}_confusion_{number}", figure, task, f"Confusion: {_place(row)}", caption)


def _place(row: ResultRow) -> str:
    return f"{short_name(row.dataset)} {row.modality.upper()}"
