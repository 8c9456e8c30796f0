"""The tasks a suite can name, and what they are measured on: one modality of one data set under one model."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

from geolangbind.data.shards import ShardSet, Stream
from geolangbind.errors import SettingsError
from geolangbind.evaluate.embedder import Embedder
from geolangbind.evaluate.encoded import Encoded, encode_streams
from geolangbind.evaluate.measure import Measure
from geolangbind.evaluate.metrics import METRICS_VERSION
from geolangbind.evaluate.multi_label import multi_label
from geolangbind.evaluate.open_vocabulary import mask_phrases, open_vocabulary, words_of
from geolangbind.evaluate.probes import few_shot, knn, linear_probe
from geolangbind.evaluate.prompts import TEMPLATES, label_phrases, prompts_hash
from geolangbind.evaluate.retrieval import cross_sensor, retrieval
from geolangbind.evaluate.segmentation import HeadSettings, mask_classes, segmentation
from geolangbind.evaluate.suite import Prompts, Task
from geolangbind.evaluate.zero_shot import zero_shot
from geolangbind.sensors.records import nearest


@dataclass(frozen=True, eq=False)
class Cell:
    """What a task is measured on. Nothing is read before it is asked for, and vectors are computed once for all tasks.

    Attributes:
        embedder: the model.
        shards: the data set.
        streams: its samples of one modality.
        bands: show the model only these; all if empty.
        bank: the training part in the same modality, for probes; None where the suite names none.
        beside: all cells of the data set by modality, this one among them, for tasks between modalities.
    """

    embedder: Embedder
    shards: ShardSet
    streams: Sequence[Stream]
    bands: tuple[str, ...]
    bank: Cell | None
    beside: Mapping[str, Cell]

    @property
    def modality(self) -> str:
        """One of rgb, sar, msi, hsi, ir, dem."""
        return self.streams[0].modality

    @cached_property
    def encoded(self) -> Encoded:
        """Vectors of the samples.

        Raises:
            DataError: see `encode_streams`.
            GeoLangBindError: the model cannot see these images.
        """
        return encode_streams(self.embedder, self.streams, bands=self.bands)

    def templates(self, chosen: Prompts) -> tuple[str, ...]:
        """Templates of a suite: its own list, the modality's, or those of the card that the shards were built from, if it has some."""
        if not isinstance(chosen, str):
            return tuple(chosen)
        card = self.shards.index.provenance.get("prompts", ()) if chosen == "card" else ()
        return tuple(card) or TEMPLATES[self.modality]


def _zero_shot(cell: Cell, label: str, prompts: Prompts = "card") -> list[Measure]:
    return zero_shot(cell.embedder, cell.encoded, label_phrases(cell.shards, label), label, cell.templates(prompts))


def _multi_label(cell: Cell, label: str, prompts: Prompts = "card", threshold: float = 1.0) -> list[Measure]:
    return multi_label(cell.embedder, cell.encoded, label_phrases(cell.shards, label), label, cell.templates(prompts), threshold)


def _retrieval(cell: Cell, prefix: str = "", each_sentence_once: bool = False) -> list[Measure]:
    return retrieval(cell.embedder, cell.encoded, prefix=prefix, each_sentence_once=each_sentence_once)


def _cross_sensor(cell: Cell) -> list[Measure]:
    """All pairs at once, in the first cell of a data set."""
    first = next(iter(cell.beside.values()), cell)
    return cross_sensor({other.modality: other.encoded for other in cell.beside.values()}) if cell is first else []


def _knn(cell: Cell, label: str, k: int = 20) -> list[Measure]:
    return knn(cell.encoded, _bank(cell, "knn").encoded, label, k=k)


def _linear_probe(cell: Cell, label: str) -> list[Measure]:
    return linear_probe(cell.encoded, _bank(cell, "linear_probe").encoded, label)


def _few_shot(cell: Cell, label: str, shots: Sequence[int] = (1, 2, 5, 10, 20), draws: int = 5) -> list[Measure]:
    return few_shot(cell.encoded, _bank(cell, "few_shot").encoded, label, shots=tuple(shots), draws=draws)


def _segmentation(
    cell: Cell,
    head: Literal["linear", "upernet"] = "linear",
    width: int = 512,
    steps: int = 1000,
    batch_size: int = 16,
    learning_rate: float | None = None,
    device: str = "cpu",
) -> list[Measure]:
    settings = HeadSettings(head, width, steps, batch_size, learning_rate, device=device)
    bank = _bank(cell, "segmentation")
    return segmentation(cell.embedder, _whole(cell, "segmentation"), bank.streams, mask_classes(cell.shards), settings)


def _open_vocabulary(cell: Cell) -> list[Measure]:
    return open_vocabulary(cell.embedder, _whole(cell, "open_vocabulary"), mask_classes(cell.shards), phrases=mask_phrases(cell.shards))


def _bank(cell: Cell, task: str) -> Cell:
    if cell.bank is None:
        raise SettingsError(f"task {task} learns from a training part; give the data set a `bank` in {cell.modality}")
    return cell.bank


def _whole(cell: Cell, task: str) -> Sequence[Stream]:
    if cell.bands:
        raise SettingsError(f"task {task} shows the model all bands; leave `bands` out, or put the task under a data set without them")
    return cell.streams


TASKS: dict[str, Callable[..., list[Measure]]] = {
    "zero_shot": _zero_shot,
    "multi_label": _multi_label,
    "retrieval": _retrieval,
    "cross_sensor": _cross_sensor,
    "knn": _knn,
    "linear_probe": _linear_probe,
    "few_shot": _few_shot,
    "segmentation": _segmentation,
    "open_vocabulary": _open_vocabulary,
}
"""By name, a function of a cell and the settings that a suite may give: a task that uses words has `label` and `prompts`."""


def check_task(task: Task) -> None:
    """Refuse a task that does not exist, and settings that it does not have.

    Raises:
        SettingsError: names the nearest task or setting, or what is missing.
    """
    if task.name not in TASKS:
        raise SettingsError(f"no task '{task.name}'{nearest(task.name, list(TASKS))}; tasks are {', '.join(TASKS)}")
    _, *known = inspect.signature(TASKS[task.name]).parameters.values()
    names = [parameter.name for parameter in known]
    if unknown := [name for name in task.settings if name not in names]:
        listed = ", ".join([*names, "metrics"])
        raise SettingsError(f"task {task.name} has no setting '{unknown[0]}'{nearest(unknown[0], names)}; settings are {listed}")
    if missing := [p.name for p in known if p.default is p.empty and p.name not in task.settings]:
        raise SettingsError(f"task {task.name} needs a setting '{missing[0]}'")


def measure(cell: Cell, task: Task) -> list[Measure]:
    """Run a task; of what it finds, the metrics that the suite asks for.

    Raises:
        SettingsError: the task has no such metric.
        GeoLangBindError: see the task.
    """
    found = TASKS[task.name](cell, **task.settings)
    names = [measured.metric for measured in found]
    # pairs of modalities are all found in one cell, and nothing in the others
    if found and (unknown := [metric for metric in task.metrics if metric not in names]):
        raise SettingsError(f"task {task.name} found no metric '{unknown[0]}'{nearest(unknown[0], names)}; it found {', '.join(names)}")
    return [measured for measured in found if not task.metrics or measured.metric in task.metrics]


@dataclass(frozen=True)
class Inputs:
    """Everything that the numbers of a task depend on, known before it runs.

    Attributes:
        model_sha256: the weights.
        revision: fingerprint of the data.
        prompts: hash of the words, empty where the task uses none; the same as its measures tell.
        settings: hash of the task's settings with their defaults and of the version of the metrics.
        selection: modality, sensors and bands of the samples, the fingerprint of the bank, and the classes of masks where they are used.
    """

    model_sha256: str
    revision: str
    prompts: str
    settings: str
    selection: tuple[str, ...]

    @property
    def hash(self) -> str:
        """Identity: 16 hex digits."""
        return sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]


def inputs_of(cell: Cell, task: Task) -> Inputs:
    """Tell what the numbers of a task on a cell are going to depend on."""
    _, *known = inspect.signature(TASKS[task.name]).parameters.values()
    settings: dict[str, Any] = {parameter.name: task.settings.get(parameter.name, parameter.default) for parameter in known}
    words, masks = "", mask_classes(cell.shards) if task.name in ("segmentation", "open_vocabulary") else {}
    if task.name == "open_vocabulary":
        words = prompts_hash(words_of(masks, mask_phrases(cell.shards)), cell.modality)
    elif "prompts" in settings:
        words = prompts_hash(label_phrases(cell.shards, settings["label"]), cell.modality, cell.templates(settings["prompts"]))
    told = json.dumps([METRICS_VERSION, task.name, settings, task.metrics], sort_keys=True)
    # of all cells: a task between modalities sees the others, too
    seen = [f"{stream.sensor} {' '.join(stream.bands)}" for other in cell.beside.values() for stream in other.streams]
    bank = cell.bank.shards.fingerprint if cell.bank else ""
    return Inputs(
        cell.embedder.sha256,
        cell.shards.fingerprint,
        words,
        sha256(told.encode()).hexdigest()[:12],
        (cell.modality, *seen, "only", *cell.bands, "bank", bank, *(f"{value} {name}" for value, name in masks.items())),
    )
