"""Result rows of several folders as a report needs them: the newest of each kind, with the details that lie beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from geolangbind.errors import DataError
from geolangbind.evaluate.published import published_rows
from geolangbind.evaluate.results import DETAILS, RESULTS, ResultRow, read_rows


def newest_rows(folders: Iterable[Path]) -> list[ResultRow]:
    """Read the results of each folder: of rows that differ in nothing but weights, prompts, value and date, the newest.

    What publications state about the same suites stands behind.

    Raises:
        DataError: a folder has no results, or a line is no result row.
    """
    newest: dict[tuple[object, ...], ResultRow] = {}
    for folder in folders:
        if not (rows := read_rows(folder / RESULTS)):
            raise DataError(f"{folder} has no results in {RESULTS}; run `geolangbind-evaluate model=MODEL out={folder}` first")
        for row in rows:
            if newest.get(_kind(row), row).date <= row.date:
                newest[_kind(row)] = row
    for row in [row for suite in {row.suite for row in newest.values()} for row in published_rows(suite)]:
        newest.setdefault(_kind(row), row)
    return list(newest.values())


def _kind(row: ResultRow) -> tuple[object, ...]:
    return row.published, row.model, row.suite, row.dataset, row.revision, row.task, row.modality, row.bands, row.metric, row.settings


def read_details(folders: Iterable[Path], row: ResultRow) -> dict[str, Any]:
    """Per-class accuracy, confusion, calibration and the like of a row; empty where there are none.

    Raises:
        DataError: the file is damaged.
    """
    for folder in folders if row.id else ():
        path = folder / DETAILS / f"{Path(row.id).name}.json"
        if path.is_file():
            try:
                return dict(json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, TypeError) as error:
                raise DataError(f"{path} is damaged ({error}); delete it with its row in {RESULTS} and evaluate again") from None
    return {}


def model_names(rows: Sequence[ResultRow]) -> dict[tuple[str, bool], str]:
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
