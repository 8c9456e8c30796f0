"""A model and a suite in, result rows out: measured once, kept in a file, not measured again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from geolangbind.data.shards import ShardSet, Stream
from geolangbind.errors import DataError, GeoLangBindError, SensorError, UnitError
from geolangbind.evaluate.datasets import NotThereError, open_source
from geolangbind.evaluate.embedder import Embedder, Ours
from geolangbind.evaluate.results import RESULTS, ResultRow, append_rows, read_rows, write_details
from geolangbind.evaluate.suite import Dataset, Suite, Task, parse_suite
from geolangbind.evaluate.tasks import Cell, check_task, measure, prompts_used, settings_used
from geolangbind.sensors.records import MODALITIES
from geolangbind.weights.source import find_source


@dataclass
class Outcome:
    """What a run found.

    Attributes:
        rows: of the suite on the model, in the suite's order; measured now or before.
        kept: how many of them were measured before.
        missing: what was not measured, one line each with the reason.
    """

    rows: list[ResultRow] = field(default_factory=list)
    kept: int = 0
    missing: list[str] = field(default_factory=list)


def evaluate(config: Mapping[str, Any]) -> Outcome:
    """Run a composed configuration: measure what is not in `out/results.jsonl` yet (by default in the model folder), and append it.

    Raises:
        SettingsError: the suite cannot be meant.
        CheckpointError: there is no model, or it is damaged.
        DataError: nothing of the suite is there, or data is damaged.
    """
    out = results_file(config).parent
    return run_suite(Ours.open(str(config["model"])), parse_suite(config["suite"]), out, config["data"] and Path(config["data"]), bar=True)


def results_file(config: Mapping[str, Any]) -> Path:
    """Where the rows of a configuration go."""
    return Path(config["out"] or find_source(config["model"]).folder) / RESULTS


def run_suite(embedder: Embedder, suite: Suite, out: Path | None = None, data: Path | None = None, *, bar: bool = False) -> Outcome:
    """Measure one model on one suite.

    Args:
        embedder: the model.
        suite: see `suite.parse_suite`.
        out: folder of `results.jsonl`, which is appended to after each task. A task whose weights, data, words and settings are those of
            rows in it is not run again. None to keep nothing.
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
    found, kept = Outcome(), data or (out or Path()) / "data"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not bar) as progress:
        shown = progress.add_task(suite.name, total=None)
        for dataset in suite.datasets:
            try:
                cells = _cells(embedder, dataset, kept)
            except NotThereError as error:
                found.missing.append(str(error))
                continue
            done = progress.tasks[0].completed
            progress.update(shown, total=done + len(cells) * len(dataset.tasks))
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
    told: dict[str, Any] = {
        "model_sha256": cell.embedder.sha256,
        "suite": suite,
        "dataset": dataset,
        "revision": cell.shards.fingerprint,
        "task": task.name,
        "settings": settings_used(cell, task),
    }
    wanted = (
        told["model_sha256"], told["revision"], prompts_used(cell, task), told["settings"], suite, dataset, cell.modality, task.name,
    )  # fmt: skip
    if rows := [row for row in before if row.made_of == wanted]:
        found.kept += len(rows)
        found.rows += rows
        return
    try:
        rows = list(_rows(cell, task, told, out))
    except (SensorError, UnitError) as error:
        found.missing.append(f"{dataset} {cell.modality} {task.name}: {error}")
        return
    except GeoLangBindError as error:
        raise type(error)(f"{dataset} {cell.modality} {task.name}: {error}") from None
    if out:
        append_rows(out / RESULTS, rows)
    found.rows += rows


def _rows(cell: Cell, task: Task, told: Mapping[str, Any], out: Path | None) -> Iterator[ResultRow]:
    synthetic = bool(cell.shards.index.provenance.get("synthetic"))
    common: dict[str, Any] = {"model": cell.embedder.name, "synthetic": synthetic, "command": " ".join(sys.argv)}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    for one in measure(cell, task):
        own: dict[str, Any] = {
            "modality": one.modality,
            "metric": one.metric,
            "sensor": one.sensors,
            "bands": one.bands,
            "prompts": one.prompts,
        }
        details = write_details(out, {**told, **own}, one.details) if out else ""
        numbers: dict[str, Any] = {"value": one.value, "n": one.n, "chance": one.chance, "low": one.low, "high": one.high}
        yield ResultRow(**told, **common, **own, **numbers, date=date, details=details)
