"""What a report says, before it becomes HTML or Markdown: sections with tables and pictures, and where the numbers come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geolangbind.evaluate.pictures.album import Picture
from geolangbind.evaluate.report_rows import model_names
from geolangbind.evaluate.report_tables import OVERVIEW, TASKS, Cell, Table, short_name
from geolangbind.evaluate.results import ResultRow
from geolangbind.paths import conf_dir

OTHER = {
    OVERVIEW: ("Overview", "All results at a glance."),
    "alignment": ("Alignment", "How image vectors of every modality and text vectors lie to each other."),
    "heatmaps": ("What the model sees where", "Patch features of single images."),
}
"""Headings and sentences of sections that hold pictures but are no task."""


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    name: str
    title: str
    about: str
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Origin:
    """Where rows come from: rows that share all of this are told once."""

    model: str
    model_sha256: str
    dataset: str
    revision: str
    prompts: str
    settings: str
    sensors: str
    command: str
    date: str


@dataclass(frozen=True)
class Page:
    """A whole report.

    Attributes:
        models: that were measured.
        synthetic: data sets that are synthetic.
        origins: of measured rows.
        sources: of published rows, by model.
    """

    title: str
    models: tuple[str, ...]
    synthetic: tuple[str, ...]
    sections: tuple[Section, ...]
    origins: tuple[Origin, ...]
    sources: Mapping[str, str]


def make_page(rows: Sequence[ResultRow], tables: Sequence[Table], pictures: Sequence[Picture]) -> Page:
    """Lay out a page: a section per task with its tables and pictures, in the order of `TASKS`."""
    names = model_names(rows)
    own = tuple(name for (_, published), name in names.items() if not published)
    tasks = dict.fromkeys([*TASKS, *(table.task for table in tables)])
    told = {**OTHER, **{task: TASKS.get(task, (task.replace("_", " ").capitalize(), "")) for task in tasks}}
    order = [OVERVIEW, *tasks, *(name for name in OTHER if name != OVERVIEW)]
    sections = [
        Section(name, *told[name], tuple(t for t in tables if t.task == name), tuple(p for p in pictures if p.section == name))
        for name in order
    ]
    return Page(
        title=f"Evaluation of {', '.join(own)}" if 0 < len(own) <= 3 else "Evaluation",
        models=own,
        synthetic=tuple(dict.fromkeys(short_name(row.dataset) for row in rows if row.synthetic)),
        sections=tuple(section for section in sections if section.tables or section.pictures),
        origins=tuple(dict.fromkeys(_origin(row) for row in rows if not row.published)),
        sources={row.model: row.source for row in rows if row.published},
    )


def suite_averages(suite: str) -> Mapping[str, Sequence[str]]:
    """The averages that a suite of conf/suite defines (`averages: {name: [datasets]}`); none for others."""
    import yaml

    path = conf_dir() / "suite" / f"{suite}.yaml"
    if Path(suite).name != suite or not path.is_file():
        return {}
    found = yaml.safe_load(path.read_text(encoding="utf-8")).get("averages") or {}
    return {str(name): tuple(map(str, datasets)) for name, datasets in found.items()}


def number(value: float | None, percent: bool) -> str:
    """A value as people read it: percent with one digit, others with three."""
    if value is None:
        return ""
    return f"{100 * value:.1f}" if percent else f"{value:.3f}"


def interval(cell: Cell, percent: bool) -> str:
    """The 95 % interval, or that there is none."""
    if cell.low is None or cell.high is None:
        return "no interval"
    return f"{number(cell.low, percent)}–{number(cell.high, percent)}"


def _origin(row: ResultRow) -> Origin:
    bands = row.bands.split()
    listed = row.bands if len(bands) <= 13 else f"{len(bands)} bands"
    sensors = f"{row.sensor} ({listed})" if listed else row.sensor
    return Origin(row.model, row.model_sha256, row.dataset, row.revision, row.prompts, row.settings, sensors, row.command, row.date)
