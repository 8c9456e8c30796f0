"""What a sweep has measured so far: one line of JSON per point, appended as soon as it is known, and read back after a restart."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geolangbind.checkpoint import atomic_path
from geolangbind.errors import DataError, SettingsError
from geolangbind.sweep.grid import Pair
from geolangbind.sweep.validation import Score

INPUTS, POINTS = "inputs.json", "points.jsonl"


def mean_of(scores: Mapping[str, Score]) -> float:
    """Top-1 averaged over modalities, each counted alike."""
    return float(np.mean([score.top1 for score in scores.values()]))


@dataclass(frozen=True, eq=False)
class Point:
    """One measured merge.

    Attributes:
        pair: its coefficients.
        scores: by modality.
    """

    pair: Pair
    scores: Mapping[str, Score]

    @property
    def mean(self) -> float:
        """Top-1 averaged over modalities."""
        return mean_of(self.scores)

    def to_json(self) -> dict[str, Any]:
        """Plain values; which images were right is packed into hexadecimal digits, first image first."""
        scores = {
            modality: {"top1": s.top1, "n": s.n, "low": s.low, "high": s.high, "right": np.packbits(s.right).tobytes().hex()}
            for modality, s in self.scores.items()
        }
        return {"m1": self.pair.m1, "m2": self.pair.m2, "mean": self.mean, "modalities": scores}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Point:
        """Rebuild from `to_json`.

        Raises:
            KeyError, TypeError, ValueError: entries are missing or malformed.
        """
        scores = {}
        for modality, told in data["modalities"].items():
            bits = np.frombuffer(bytes.fromhex(told["right"]), np.uint8)
            right = np.unpackbits(bits, count=told["n"]).astype(bool)
            scores[modality] = Score(float(told["top1"]), int(told["n"]), float(told["low"]), float(told["high"]), right)
        return cls(Pair(float(data["m1"]), float(data["m2"])), scores)


def open_points(folder: Path, inputs: Mapping[str, Any]) -> dict[Pair, Point]:
    """Begin a sweep in `folder`, or continue the one that is there.

    Args:
        folder: made if absent.
        inputs: everything a point's numbers depend on besides its coefficients; kept in `inputs.json`.

    Returns:
        The points measured before. A last line that was cut off is dropped.

    Raises:
        SettingsError: the folder holds a sweep of other inputs; each difference is named.
        DataError: its files are damaged.
    """
    told, path = folder / INPUTS, folder / POINTS
    if told.exists():
        before = _read_json(told)
        if changed := [key for key in sorted({*before, *inputs}) if _without_path(before.get(key)) != _without_path(inputs.get(key))]:
            raise SettingsError(
                f"{folder} holds a sweep of other inputs ({', '.join(changed)} differ, see {told}); choose another --out, "
                "or remove the folder to begin anew"
            )
    else:
        with atomic_path(told) as part:
            part.write_text(json.dumps(inputs, indent=1) + "\n", encoding="utf-8")
    return {point.pair: point for point in _read_points(path)} if path.exists() else {}


def append_point(folder: Path, point: Point) -> None:
    """Append one measured point, in one write that reaches the disk."""
    with (folder / POINTS).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(point.to_json()) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _without_path(value: object) -> object:
    """Where a file lies does not matter, its hash does."""
    return {key: entry for key, entry in value.items() if key != "path"} if isinstance(value, dict) else value


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"cannot read {path}: {error}; remove the folder to begin the sweep anew") from None


def _read_points(path: Path) -> list[Point]:
    text = path.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):  # stopped in the middle of a line; what comes next must not be glued to it
        with path.open("r+b") as stream:
            stream.truncate(whole)
    points = []
    for number, line in enumerate(text[:whole].splitlines(), start=1):
        try:
            points.append(Point.from_json(json.loads(line)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"line {number} of {path} is damaged ({error!r}); remove that line and its point is measured again") from None
    return points
