"""A model and a suite in, result rows out: measured once, kept in a file, not measured again."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from geolangbind.data.shards import ShardSet, Stream
from geolangbind.errors import DataError, SensorError, UnitError
from geolangbind.evaluate.datasets import NotThereError, open_source
from geolangbind.evaluate.embedder import Embedder, Ours
from geolangbind.evaluate.pictures.draw import draw_pictures
from geolangbind.evaluate.report import write_report
from geolangbind.evaluate.results import RESULTS, ResultRow, append_rows, read_rows, write_details
from geolangbind.evaluate.suite import Dataset, Pictures, Suite, Task, parse_suite
from geolangbind.evaluate.tasks import Cell, Inputs, check_task, inputs_of, measure
from geolangbind.sensors.records import MODALITIES
from geolangbind.weights.source import find_source


@dataclass
class Outcome:
    """What a run found.

    Attributes:
        rows: of the suite on the model, in the suite's order; measured now or before.
        kept: how many of them were measured before.
        missing: what was not measured, one line each with the reason.
        pictured: by modality, what the suite's pictures are drawn of.
    """

    rows: list[ResultRow] = field(default_factory=list)
    kept: int = 0
    missing: list[str] = field(default_factory=list)
    pictured: dict[str, Cell] = field(default_factory=dict)


def evaluate(config: Mapping[str, Any]) -> Outcome:
    """Run a composed configuration: measure what `out/results.jsonl` (by default in the model folder) does not hold yet and append it.

    Then draw what the suite wants to see, and write `report.html` and `report.md` beside the results.

    Raises:
        SettingsError: the suite cannot be meant.
        CheckpointError: there is no model, or it is damaged.
        DataError: nothing of the suite is there, or data is damaged.
    """
    out, suite, model = results_file(config).parent, parse_suite(config["suite"]), Ours.open(str(config["model"]))
    found = run_suite(model, suite, out, config["data"] and Path(config["data"]), bar=True)
    if suite.pictures is not None and found.pictured:
        before = Ours.open(str(config["before"])) if config["before"] else None
        with Console(stderr=True).status("drawing"):
            _draw(out, model, before, suite.pictures, found.pictured)
    write_report(out)
    return found


def _draw(out: Path, model: Embedder, before: Embedder | None, wanted: Pictures, cells: Mapping[str, Cell]) -> None:
    streams = {modality: cell.streams for modality, cell in cells.items()}
    encoded = {modality: cell.encoded for modality, cell in cells.items()}
    draw_pictures(
        out, model, streams, wanted.words, before=before, encoded=encoded, label=wanted.label, place=wanted.place, about=wanted.about
    )


def results_file(config: Mapping[str, Any]) -> Path:
    """Where the rows of a configuration go."""
    return Path(config["out"] or find_source(config["model"]).folder) / RESULTS


def run_suite(embedder: Embedder, suite: Suite, out: Path | None = None, data: Path | None = None, *, bar: bool = False) -> Outcome:
    """Measure one model on one suite.

    Args:
        embedder: the model.
        suite: see `suite.parse_suite`.
        out: folder of `results.jsonl`, which is appended to after each task. What it holds of the same weights, data, words and settings
            is not measured again. None to keep nothing.
        data: folder for shards that are drawn or built, by default `out/data`.
        bar: show a progress bar.

    Raises:
        SettingsError: a task does not exist, or has no such setting.
        DataError: data is damaged or lacks a modality or label; or nothing of the suite is there.
    """
    for dataset in suite.datasets:
        for task in dataset.tasks:
            check_task(task)
    before = read_rows(out / RESULTS) if out else []
    found, opened = Outcome(), list[tuple[Dataset, dict[str, Cell]]]()
    for dataset in suite.datasets:
        try:
            opened.append((dataset, _cells(embedder, dataset, data or (out or Path()) / "data")))
        except NotThereError as error:
            found.missing.append(str(error))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not bar) as progress:
        shown = progress.add_task(suite.name, total=sum(len(cells) * len(dataset.tasks) for dataset, cells in opened))
        while opened:
            dataset, cells = opened.pop(0)  # the vectors of a finished data set are let go
            if suite.pictures is not None and dataset.name == suite.pictures.dataset:
                found.pictured = cells
            for cell, task in ((cell, task) for cell in cells.values() for task in dataset.tasks):
                progress.update(shown, description=f"{dataset.name} {cell.modality} {task.name}")
                _measure(cell, task, suite.name, dataset.name, before, found, out)
                progress.advance(shown)
    if not found.rows:
        raise DataError(f"nothing of suite {suite.name} was measured: {'; '.join(found.missing)}")
    return found


def _cells(embedder: Embedder, dataset: Dataset, kept: Path) -> dict[str, Cell]:
    """A cell per modality of a data set, in the usual order."""
    shards = open_source(dataset.source, kept)
    bank = open_source(dataset.bank, kept) if dataset.bank else None
    banks = {} if bank is None else _streams(bank, dataset)
    cells: dict[str, Cell] = {}
    for modality, streams in _streams(shards, dataset).items():
        own = Cell(embedder, bank, banks[modality], dataset.bands, None, {}) if bank is not None and modality in banks else None
        cells[modality] = Cell(embedder, shards, streams, dataset.bands, own, cells)
    return cells


def _streams(shards: ShardSet, dataset: Dataset) -> dict[str, list[Stream]]:
    found: dict[str, list[Stream]] = {}
    chosen = shards.select(modalities=dataset.modalities or None, sensors=dataset.sensors or None)
    for stream in sorted(chosen, key=lambda stream: MODALITIES.index(stream.modality)):
        found.setdefault(stream.modality, []).append(stream)
    return found


def _measure(cell: Cell, task: Task, suite: str, dataset: str, before: Sequence[ResultRow], found: Outcome, out: Path | None) -> None:
    """Put a task's rows into what was found, from the file if they are there."""
    inputs = inputs_of(cell, task)
    rows = [row for row in before if (row.id.rpartition("-")[0], row.suite, row.dataset) == (inputs.hash, suite, dataset)]
    found.kept += len(rows)
    if not rows:
        try:
            rows = _rows(cell, task, inputs, suite, dataset, out)
        except (SensorError, UnitError) as error:
            found.missing.append(f"{dataset} {cell.modality} {task.name}: {error}")
            return
        if out:
            append_rows(out / RESULTS, rows)
    found.rows += rows


def _rows(cell: Cell, task: Task, inputs: Inputs, suite: str, dataset: str, out: Path | None) -> list[ResultRow]:
    """Measure; what does not fit into a row is written beside the results."""
    rows = []
    for number, one in enumerate(measure(cell, task)):
        row = ResultRow(
            model=cell.embedder.name, model_sha256=inputs.model_sha256, suite=suite, dataset=dataset, revision=inputs.revision,
            sensor=one.sensors, bands=one.bands, modality=one.modality, metric=one.metric, value=one.value, n=one.n, chance=one.chance,
            low=one.low, high=one.high, prompts=one.prompts, synthetic=bool(cell.shards.index.provenance.get("synthetic")),
            command=" ".join(sys.argv), date=datetime.now(UTC).isoformat(timespec="seconds"), task=one.task, settings=inputs.settings,
            id=f"{inputs.hash}-{number}",
        )  # fmt: skip
        if out and one.details:
            write_details(out, row.id, one.details)
        rows.append(row)
    return rows
