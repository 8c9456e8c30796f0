"""Result rows as a report needs them: read from several folders, the newest of each kind, tolerant of fields that older rows lack."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from geolangbind.errors import DataError

RESULTS, DETAILS = "results.jsonl", "details"


@dataclass(frozen=True)
class Row:
    """One measurement, see `results.ResultRow`; published rows have no interval, no hashes and perhaps no trials.

    Attributes:
        chance: None where nobody said.
        low: None where there is no interval.
        high: None where there is no interval.
        settings: of the task, as one line of text.
        published: whether the number was copied from a paper.
        details: per-class accuracy, confusion, calibration; empty where there are none.
    """

    model: str
    dataset: str
    metric: str
    value: float
    modality: str = ""
    task: str = "zero_shot"
    suite: str = ""
    model_sha256: str = ""
    revision: str = ""
    sensor: str = ""
    bands: str = ""
    n: int = 0
    chance: float | None = None
    low: float | None = None
    high: float | None = None
    prompts: str = ""
    settings: str = ""
    published: bool = False
    synthetic: bool = False
    command: str = ""
    date: str = ""
    details: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def kind(self) -> tuple[object, ...]:
        """What was measured on which model: of rows of one kind the newest counts."""
        return self.published, self.model, self.suite, self.dataset, self.revision, self.task, self.modality, self.metric, self.settings


def read_rows(folders: Iterable[Path]) -> list[Row]:
    """Read `results.jsonl` of each folder with its side files `details/ID.json`; the newest row of each kind, in the order of the files.

    Raises:
        DataError: a folder has no results, or a line is no result row.
    """
    newest: dict[tuple[object, ...], Row] = {}
    for folder in folders:
        path = folder / RESULTS
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            raise DataError(f"{folder} has no {RESULTS}; run `geolangbind-evaluate model=MODEL out={folder}` first") from None
        for number, line in enumerate(lines, start=1):
            try:
                row = _row(json.loads(line), folder)
            except (ValueError, TypeError) as error:
                raise DataError(f"{path}, line {number} is no result row ({error}); delete the line") from None
            if row.kind not in newest or newest[row.kind].date <= row.date:
                newest[row.kind] = row
    return list(newest.values())


def _row(told: Mapping[str, Any], folder: Path) -> Row:
    known = {entry.name for entry in fields(Row)}
    kept = {name: value for name, value in told.items() if name in known and value is not None}
    kept["value"] = float(kept["value"]) if "value" in kept else None
    if kept["value"] is None:
        raise ValueError("no value")
    kept["settings"] = _one_line(told.get("settings"))
    kept["details"] = _details(folder / DETAILS / f"{told.get('id')}.json") if told.get("id") else {}
    return Row(**kept)


def _details(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); delete it and evaluate again") from None
    return found if isinstance(found, dict) else {}


def _one_line(settings: object) -> str:
    if isinstance(settings, Mapping):
        return ", ".join(f"{name}={value}" for name, value in sorted(settings.items()))
    return str(settings or "")


def model_names(rows: Sequence[Row]) -> dict[tuple[str, bool], str]:
    """What each (model, published) is called: the shortest end of its path that no other model shares; a published one as it is."""
    models = list(dict.fromkeys((row.model, row.published) for row in rows))
    names = {}
    for model, published in models:
        parts = [model] if published else model.rstrip("/").split("/")
        ends = ["/".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        others = [other.rstrip("/") for other, _ in models if other != model]
        free = [end for end in ends if not any(other == end or other.endswith(f"/{end}") for other in others)]
        names[model, published] = free[0] if free else model
    return names
