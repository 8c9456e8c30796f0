"""Result rows: one line of JSON per measurement, with everything needed to repeat it; and the table people read."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from geolangbind.checkpoint import atomic_path
from geolangbind.errors import DataError

RESULTS, DETAILS = "results.jsonl", "details"


@dataclass(frozen=True)
class ResultRow:
    """One measurement.

    Attributes:
        model: path as given.
        model_sha256: hash of the weights.
        suite: which suite.
        dataset: folder or name of the data.
        revision: fingerprint of the data.
        sensor: sensors measured on.
        bands: band names.
        modality: rgb, sar, msi, hsi, ir or dem.
        metric: what was measured ("top1").
        value: share in [0, 1].
        n: samples; 0 where a publication does not say.
        chance: value of a blind guess; None where nobody knows.
        low: lower end of the 95 % interval; None where there is none.
        high: upper end.
        prompts: hash of the prompts; empty where no words are used.
        synthetic: whether the data is.
        command: what was typed.
        date: UTC, ISO 8601.
        task: what was asked ("zero_shot").
        settings: hash of the task's settings, empty in rows of before there was one.
        published: whether the figure is copied from a publication, not measured.
        id: of the row; `details/ID.json` holds per-class figures and the like, if there are any. Up to the last `-` the same in all rows of
            one run of a task, and made of everything that their numbers depend on.
        source: of a published figure.
    """

    model: str
    model_sha256: str
    suite: str
    dataset: str
    revision: str
    sensor: str
    bands: str
    modality: str
    metric: str
    value: float
    n: int
    chance: float | None
    low: float | None
    high: float | None
    prompts: str
    synthetic: bool
    command: str
    date: str
    task: str = "zero_shot"
    settings: str = ""
    published: bool = False
    id: str = ""
    source: str = ""


def append_rows(path: Path, rows: Iterable[ResultRow]) -> None:
    """Append rows to a JSONL file under a lock, all or none of them; half a line that a killed process left is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(asdict(row)) + "\n" for row in rows).encode()
    with path.open("a+b", buffering=0) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        end = stream.read().rfind(b"\n") + 1
        stream.truncate(end)
        try:
            if stream.write(text) < len(text):
                raise OSError(f"{path}: the disk is full")
            os.fsync(stream.fileno())
        except OSError:
            stream.truncate(end)
            raise


def read_rows(path: Path) -> list[ResultRow]:
    """Rows of a JSONL file, older ones included; none where there is no file. Half a line at the end counts as not written.

    Raises:
        DataError: another line is damaged.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(ResultRow(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}, line {number}: no result row ({error}); remove the line, and it is measured again") from None
    return rows


def write_details(out: Path, row: str, details: Mapping[str, Any]) -> None:
    """Write what belongs to the row of this id but not into it: plain JSON, `details/ID.json` in the folder of the results."""
    with atomic_path(out / DETAILS / f"{row}.json") as part:
        part.write_text(json.dumps(details) + "\n", encoding="utf-8")


def render(rows: Sequence[ResultRow], title: str) -> Table:
    """Rows as a terminal table: a line per data set, task and metric, a column per modality with its 95 % interval.

    Figures between modalities are left to the report.
    """
    head, lines = _by_modality(rows)
    table = Table(title=f"{title}; in %, with 95 % intervals", title_justify="left")
    for column in head:
        table.add_column(column, justify="left" if column in ("dataset", "task", "metric") else "right", overflow="fold")
    for line in lines:
        table.add_row(*(cell.replace(" (", "\n").rstrip(")") for cell in line))
    return table


def markdown(rows: Sequence[ResultRow]) -> list[str]:
    """The same table as lines of Markdown."""
    head, lines = _by_modality(rows)
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *lines)]


def _by_modality(rows: Sequence[ResultRow]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: what is measured, a cell per modality, chance, number of trials."""
    shown = [row for row in rows if "->" not in row.modality]
    modalities = list(dict.fromkeys(row.modality for row in shown))
    several = [name for name in ("dataset", "task") if len({getattr(row, name) for row in shown}) > 1]
    found: dict[tuple[str, ...], dict[str, ResultRow]] = {}
    for row in shown:
        found.setdefault((row.dataset, row.task, row.metric, row.settings), {})[row.modality] = row
    lines = []
    for by_modality in found.values():
        first = next(iter(by_modality.values()))
        named = [str(getattr(first, name)) for name in (*several, "metric")]
        lines.append([*named, *(_cell(by_modality.get(modality)) for modality in modalities), *_spans(list(by_modality.values()))])
    return [*several, "metric", *modalities, "chance", "n"], lines


def _cell(row: ResultRow | None) -> str:
    if row is None:
        return ""
    interval = "" if row.low is None or row.high is None else f" ({100 * row.low:.0f}-{100 * row.high:.0f})"
    return f"{100 * row.value:.1f}{interval}"


def _spans(rows: Sequence[ResultRow]) -> tuple[str, str]:
    """Chance and number of trials, from the lowest to the highest where modalities differ."""
    chances = sorted({f"{100 * row.chance:.1f}" for row in rows if row.chance is not None}, key=float)
    counts = sorted({row.n for row in rows})
    return "-".join(chances[:: max(1, len(chances) - 1)]), "-".join(str(count) for count in counts[:: max(1, len(counts) - 1)])
