"""A suite is data: which samples, and what is asked of a model on them. Read strictly, so that a misspelt key is no silent default."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from geolangbind.errors import GeoLangBindError, SettingsError
from geolangbind.sources.card import UNKNOWN, Card, load_card, mapping, parse_card, texts

Prompts = str | Sequence[str]
"""`card` (the card's templates, else the modality's), `modality`, or templates with one `{}` each."""

_SUITE = ("name", "datasets", "averages", "pictures", "root", "data", "label", "modalities")
_SOURCE = ("planet", "shards", "card", "folder", "split", "limit")
_PLANET = {"scenes": 1, "seed": 0, "split": "test"}


@dataclass(frozen=True)
class Task:
    """One question to a model.

    Attributes:
        name: of `tasks.TASKS`.
        settings: what its function is told.
        metrics: which of its metrics become rows; all if empty.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Where samples come from: one of `planet`, `shards` and `card`.

    Attributes:
        planet: scenes, seed and split of synthetic scenes, drawn once and kept.
        shards: folder or address of shards.
        card: of a data set that lies under `root`, as shards or as its files, of which shards are built.
        root: folder that holds data sets; None if nobody said.
        folder: of the data set under `root`.
        split: of the card, where it has some.
        limit: only so many samples of each of the card's views.
    """

    planet: Mapping[str, Any] | None = None
    shards: str | None = None
    card: Card | None = None
    root: Path | None = None
    folder: str = ""
    split: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Dataset:
    """Samples and what is asked on them.

    Attributes:
        name: in the result rows.
        source: the samples.
        tasks: asked in every modality.
        modalities: of rgb, sar, msi, hsi, ir, dem; all that there are if empty.
        sensors: names of sensors; all if empty.
        bands: the model sees only these; all if empty.
        bank: a training part, for probes.
    """

    name: str
    source: Source
    tasks: tuple[Task, ...]
    modalities: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    bands: tuple[str, ...] = ()
    bank: Source | None = None


@dataclass(frozen=True)
class Pictures:
    """What pictures show: how modalities and texts are aligned, and where in an image a model sees words.

    Attributes:
        dataset: one of the suite's.
        words: sentences for the heatmaps, a column each.
        label: the samples' label that is the class.
        place: the samples' label that names the place.
        about: class of the image that the heatmaps show; the first image if None.
    """

    dataset: str
    words: tuple[str, ...]
    label: str = "scene_class"
    place: str = "scene_index"
    about: str | None = None


@dataclass(frozen=True)
class Suite:
    """What to measure.

    Attributes:
        name: of the suite.
        datasets: in order.
        averages: by name, the data sets over which metrics are averaged.
        pictures: what is drawn, or None.
    """

    name: str
    datasets: tuple[Dataset, ...]
    averages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: Pictures | None = None


@dataclass(frozen=True)
class Labelled:
    """Labelled shards that models are compared on by zero-shot accuracy.

    Attributes:
        name: in result rows.
        data: folder of shards.
        label: which label is the truth.
        modalities: empty for all that the shards hold.
    """

    name: str
    data: str
    label: str
    modalities: Sequence[str] = ()

    def suite(self) -> Suite:
        """The suite that measures top-1 accuracy on them, with the templates of the modalities."""
        task = Task("zero_shot", {"label": self.label, "prompts": "modality"}, ("top1",))
        return Suite(self.name, (Dataset(self.data, Source(shards=self.data), (task,), tuple(self.modalities)),))


def parse_suite(document: Mapping[str, Any]) -> Suite:
    """Read a suite of conf/suite.

    Args:
        document: composed and resolved. `root` is where data sets lie; `data`, `label` and `modalities` are values that entries refer to.

    Raises:
        SettingsError: a key is unknown or missing, or a value cannot be meant; the message names the place.
    """
    raw = mapping(document, "suite", _SUITE)
    name = str(raw.get("name", ""))
    root = None if raw.get("root") is None else Path(raw["root"])
    entries = mapping(raw.get("datasets"), f"suite {name}: datasets")
    datasets = tuple(_dataset(str(key), value, root, f"suite {name}: {key}") for key, value in entries.items())
    listed = mapping(raw.get("averages", {}), f"suite {name}: averages")
    averages = {str(key): texts(value, f"suite {name}: averages.{key}") for key, value in listed.items()}
    for key, members in averages.items():
        if unknown := set(members) - {dataset.name for dataset in datasets}:
            raise SettingsError(f"suite {name}: averages.{key} names {', '.join(sorted(unknown))}, which is no data set of the suite")
    return Suite(name, datasets, averages, _pictures(raw.get("pictures"), {dataset.name for dataset in datasets}, name))


def _pictures(document: object, datasets: Set[str], suite: str) -> Pictures | None:
    if document is None:
        return None
    where = f"suite {suite}: pictures"
    raw = mapping(document, where, ["dataset", "words", "label", "place", "about"])
    if raw.get("dataset") not in datasets or not raw.get("words"):
        raise SettingsError(f"{where}: needs 'dataset', one of {', '.join(sorted(datasets))}, and 'words', a list of sentences")
    named = {key: str(raw[key]) for key in ("label", "place", "about") if key in raw}
    return Pictures(str(raw["dataset"]), texts(raw["words"], f"{where}: words"), **named)


def _dataset(name: str, document: object, root: Path | None, where: str) -> Dataset:
    raw = mapping(document, where, [*_SOURCE, "root", "tasks", "modalities", "sensors", "bands", "bank", "name"])
    listed = raw.get("tasks")
    if not isinstance(listed, list) or not listed:
        raise SettingsError(f"{where}: needs 'tasks', a list such as [{{task: zero_shot, label: scene_class}}]")
    source = {key: value for key, value in raw.items() if key in (*_SOURCE, "root")}
    lists = {key: texts(raw[key], f"{where}: {key}") for key in ("modalities", "sensors", "bands") if key in raw}
    bank = _source(name, raw["bank"], root, f"{where}: bank") if "bank" in raw else None
    tasks = tuple(_task(entry, where) for entry in listed)
    return Dataset(str(raw.get("name", name)), _source(name, source, root, where), tasks, **lists, bank=bank)


def _source(name: str, document: object, root: Path | None, where: str) -> Source:
    raw = mapping(document, where, [*_SOURCE, "root"])
    kinds = [kind for kind in ("planet", "shards", "card") if raw.get(kind) is not None]
    if len(kinds) != 1:
        raise SettingsError(f"{where}: samples come from one of planet, shards and card; got {', '.join(kinds) or 'none'}")
    limit = raw.get("limit")
    if limit is not None and (not isinstance(limit, int) or limit < 1 or kinds != ["card"]):
        raise SettingsError(f"{where}: limit is a whole number above 0, of a card's samples; got {limit}")
    if kinds == ["planet"]:
        return Source(planet=_PLANET | mapping(raw["planet"], f"{where}: planet", list(_PLANET)))
    if kinds == ["shards"]:
        return Source(shards=str(raw["shards"]))
    card = _card(name, raw["card"], where)
    own = raw.get("root")
    return Source(
        card=card, root=root if own is None else Path(own), folder=str(raw.get("folder", card.name)), split=raw.get("split"), limit=limit
    )


def _card(name: str, given: object, where: str) -> Card:
    """A card that ships, a card file, or one written into the suite, whose facts nobody needs then."""
    if isinstance(given, str):
        return load_card(given)
    facts = {"name": name, "title": name, "tasks": ["zero_shot"], "licence": UNKNOWN, "source": UNKNOWN, "revision": UNKNOWN}
    document = facts | mapping(given, f"{where}: card")
    try:
        return parse_card(document, sha256(json.dumps(document).encode()).hexdigest(), Path())
    except GeoLangBindError as error:
        raise type(error)(f"{where}: card: {error}") from None


def _task(document: object, where: str) -> Task:
    raw = dict(mapping(document, f"{where}: tasks"))
    if "task" not in raw:
        raise SettingsError(f"{where}: tasks: each entry needs 'task', e.g. {{task: zero_shot, label: scene_class}}")
    name, metrics = str(raw.pop("task")), raw.pop("metrics", [])
    prompts = raw.get("prompts", "card")
    if prompts not in ("card", "modality"):
        templates = texts(prompts, f"{where}: {name}: prompts")
        if not templates or any(template.count("{}") != 1 for template in templates):
            raise SettingsError(f"{where}: {name}: prompts must be card, modality or templates that hold one {{}} each")
    return Task(name, {str(key): value for key, value in raw.items()}, texts(metrics, f"{where}: {name}: metrics"))
