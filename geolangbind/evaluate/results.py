"""Result rows: one line of JSON per measurement, with everything needed to repeat it; and the table people read."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table


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
        n: samples.
        chance: value of a blind guess.
        low: lower end of the 95 % interval.
        high: upper end.
        prompts: hash of the prompts.
        synthetic: whether the data is.
        command: what was typed.
        date: UTC, ISO 8601.
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
    chance: float
    low: float
    high: float
    prompts: str
    synthetic: bool
    command: str
    date: str


def append_rows(path: Path, rows: Iterable[ResultRow]) -> None:
    """Append rows to a JSONL file under a lock, each in one write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write("".join(json.dumps(asdict(row)) + "\n" for row in rows))


def render(rows: Iterable[ResultRow], title: str) -> Table:
    """Rows as a terminal table."""
    table = Table(title=title)
    for column in ("modality", "sensor"):
        table.add_column(column)
    for column in ("top-1 %", "95 % interval", "chance %", "n"):
        table.add_column(column, justify="right")
    for row in rows:
        interval = f"{100 * row.low:.1f}-{100 * row.high:.1f}"
        table.add_row(row.modality, row.sensor, f"{100 * row.value:.1f}", interval, f"{100 * row.chance:.1f}", str(row.n))
    return table
