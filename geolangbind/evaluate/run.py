"""A model and a suite in, result rows out."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from geolangbind.checkpoint import file_sha256
from geolangbind.data.shards import ShardSet, Stream
from geolangbind.errors import DataError, SettingsError
from geolangbind.evaluate.prompts import prompts_hash
from geolangbind.evaluate.results import ResultRow, append_rows
from geolangbind.evaluate.zero_shot import zero_shot
from geolangbind.model import GeoLangBind
from geolangbind.weights.load import load
from geolangbind.weights.source import find_source


@dataclass(frozen=True)
class Suite:
    """What to measure.

    Attributes:
        name: of the suite.
        task: zero_shot.
        data: folder of labelled shards.
        label: which label is the truth.
        modalities: empty for all that the shards hold.
    """

    name: str
    task: str
    data: str
    label: str
    modalities: Sequence[str] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if self.task != "zero_shot":
            raise SettingsError(f"suite.task is '{self.task}'; tasks are zero_shot")


def evaluate(config: Mapping[str, Any]) -> list[ResultRow]:
    """Run a composed configuration: measure, and append to `out/results.jsonl` (by default in the model folder)."""
    from rich.console import Console

    suite = Suite(**config["suite"])
    with Console(stderr=True).status(f"suite {suite.name} on {config['model']}"):
        rows = run_suite(str(config["model"]), load(config["model"]), suite)
    append_rows(results_file(config), rows)
    return rows


def results_file(config: Mapping[str, Any]) -> Path:
    """Where the rows of a configuration go."""
    return Path(config["out"] or find_source(config["model"]).folder) / "results.jsonl"


def run_suite(source: str, model: GeoLangBind, suite: Suite) -> list[ResultRow]:
    """Measure one model on one suite, a row per modality.

    Raises:
        DataError: the shards lack a modality or labels.
    """
    shards = ShardSet.open(suite.data)
    by_modality: dict[str, list[Stream]] = {}
    for stream in shards.select(modalities=suite.modalities or None):
        by_modality.setdefault(stream.modality, []).append(stream)
    classes = label_phrases(shards, suite.label)
    told: dict[str, Any] = {
        "model": source,
        "model_sha256": file_sha256(find_source(source).weights),
        "suite": suite.name,
        "dataset": suite.data,
        "revision": shards.fingerprint,
        "metric": "top1",
        "synthetic": bool(shards.index.provenance.get("synthetic")),
        "command": " ".join(sys.argv),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    rows = []
    for modality, streams in by_modality.items():
        found = zero_shot(model, streams, classes, suite.label)
        sensors, bands = (
            " ".join(dict.fromkeys(values)) for values in ([s.sensor for s in streams], [b for s in streams for b in s.bands])
        )
        rows.append(
            ResultRow(
                **told, modality=modality, sensor=sensors, bands=bands, value=found.top1, n=found.n, chance=found.chance, low=found.low,
                high=found.high, prompts=prompts_hash(classes, modality),
            )
        )  # fmt: skip
    return rows


def label_phrases(shards: ShardSet, label: str) -> dict[str, tuple[str, ...]]:
    """Classes of a labelled shard set with the phrases that name them.

    The shards' provenance may list them under `classes`; else every label found is its own phrase.

    Raises:
        DataError: no sample has the label.
    """
    listed = shards.index.provenance.get("classes", {}).get(label)
    if listed:
        return {str(name): tuple(phrases) for name, phrases in listed.items()}
    found = {stream.read(i).meta.labels.get(label) for stream in shards.streams for i in range(len(stream))} - {None}
    if not found:
        raise DataError(f"no sample in {shards.folder} has a label '{label}'")
    return {str(name): (str(name).replace("_", " "),) for name in sorted(map(str, found))}
