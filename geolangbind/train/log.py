"""What a run writes down while it goes: `metrics.jsonl` (a row per step), `validation.jsonl` (a row per step and modality), TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from geolangbind.checkpoint import atomic_path

_OF_A_SENSOR = ("loss", "contrastive", "cross_sensor", "gradient_norm")


class Log:
    """The log of one run; rows beyond the resumed step are dropped, for their steps will be done again.

    Args:
        run_dir: of the run.
        step: steps done.
        active: whether this process writes; else nothing here does anything.
    """

    def __init__(self, run_dir: Path, step: int, active: bool) -> None:
        self.run_dir, self.step, self.active = run_dir, step, active

    def __enter__(self) -> Log:
        if self.active:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._metrics = _continued(self.run_dir / "metrics.jsonl", kept_rows(_text(self.run_dir / "metrics.jsonl"), self.step))
            self._validation: TextIO | None = None
            if text := _text(self.run_dir / "validation.jsonl"):
                self._validation = _continued(self.run_dir / "validation.jsonl", kept_validation(text, self.step))
            self._board = SummaryWriter(str(self.run_dir / "tensorboard"), purge_step=self.step + 1)
        return self

    def __exit__(self, *failure: object) -> None:
        if self.active:
            self._metrics.close()
            if self._validation is not None:
                self._validation.close()
            self._board.close()

    def write(self, row: Mapping[str, Any]) -> None:
        """Add the row of a step. TensorBoard shows losses and gradients apart for each sensor."""
        if self.active:
            self._metrics.write(_line(row))
            for name, value in row.items():
                if isinstance(value, float):
                    shown = f"{row['sensor']}/{name}" if "sensor" in row and ("/" in name or name in _OF_A_SENSOR) else name
                    self._board.add_scalar(shown, value, row["step"])

    def write_validation(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the rows of a validation, one per modality or source."""
        if self.active and rows:
            if self._validation is None:
                self._validation = (self.run_dir / "validation.jsonl").open("a", encoding="utf-8")
            for row in rows:
                self._validation.write(_line(row))
                for name in ("zero_shot", "recall_1", "recall_5", "precision_1"):
                    if name in row:
                        self._board.add_scalar(f"validation/{_part(row)}/{name}", row[name], row["step"])

    def flush(self) -> None:
        """Bring all rows to disk; called before a checkpoint, which must never know of more steps than the log."""
        if not self.active:
            return
        for stream in filter(None, (self._metrics, self._validation)):
            stream.flush()
            os.fsync(stream.fileno())
        self._board.flush()


def kept_rows(text: str, step: int) -> list[str]:
    """Lines of `metrics.jsonl` up to step `step`, each step once and in order; rows beyond it and half-written ones are left out."""
    rows: list[str] = []
    for line in text.splitlines():
        try:
            number = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError):
            continue
        if number == len(rows) + 1 <= step:
            rows.append(line)
    return rows


def kept_validation(text: str, step: int) -> list[str]:
    """Lines of `validation.jsonl` up to step `step`, the first of each step and modality or source; half-written ones are left out."""
    rows: dict[tuple[int, str], str] = {}
    for line in text.splitlines():
        try:
            row = json.loads(line)
            place = (int(row["step"]), _part(row))
        except (ValueError, KeyError, TypeError):
            continue
        if place[0] <= step:
            rows.setdefault(place, line)
    return list(rows.values())


def _part(row: Mapping[str, Any]) -> str:
    """What a row of a validation is of."""
    return str(row["modality"] if "modality" in row else row["source"])


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a log that was closed; none where there is no file."""
    return [json.loads(line) for line in _text(path).splitlines()]


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps({name: round(value, 6) if isinstance(value, float) else value for name, value in row.items()}) + "\n"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _continued(path: Path, rows: Sequence[str]) -> TextIO:
    with atomic_path(path) as part:
        part.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path.open("a", encoding="utf-8")
