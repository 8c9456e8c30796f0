"""A tiny untrained model that knows every physical kind, an embedder that sees nothing, one that knows all, and shards to measure on."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from geolangbind.data.shards import ShardSet
from geolangbind.data.write import write_index, write_shard
from geolangbind.evaluate.prompts import prompts
from geolangbind.evaluate.results import ResultRow
from geolangbind.model import GeoLangBind
from geolangbind.models import zoo
from geolangbind.planet.groups import CLASSES, MODALITIES
from geolangbind.planet.language import class_phrases
from geolangbind.planet.write import write_planet
from geolangbind.sensors.channels import KINDS
from geolangbind.statistics import KindStatistics, Statistics, transform_of


@pytest.fixture(scope="session")
def row():
    """`row(value=0.5, ...)`: a result row, of model "runs/a" on "planet" unless told otherwise."""

    def make(value=0.5, **told):
        usual = {
            "model": "runs/a", "model_sha256": "f" * 64, "suite": "planet", "dataset": "planet", "revision": "r" * 64,
            "sensor": "sentinel-2-l2a", "bands": "B02 B03", "modality": "msi", "metric": "top1", "value": value, "n": 100, "chance": 0.1,
            "low": value - 0.05, "high": value + 0.05, "prompts": "abc", "synthetic": False, "command": "geolangbind-evaluate",
            "date": "2026-01-01T00:00:00+00:00",
        }  # fmt: skip
        return ResultRow(**usual | told)

    return make


@pytest.fixture(scope="session")
def published(row):
    """`published(value, ...)`: a row copied from a paper."""
    copied = {"model": "CLIP", "published": True, "source": "a paper", "revision": "", "n": 0, "chance": 0.0, "low": None, "high": None}
    return lambda value, **told: row(value, **copied | told)


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> Path:
    """Twelve scenes in rgb, sar and dem."""
    folder = tmp_path_factory.mktemp("evaluate") / "planet"
    write_planet(folder, 12, seed=5, modalities=("rgb", "sar", "dem"), workers=1, progress=False)
    return folder


@pytest.fixture(scope="session")
def streams(shards):
    """Streams of the shards by modality."""
    found = ShardSet.open(shards)
    return {modality: found.select(modalities=[modality]) for modality in ("rgb", "sar", "dem")}


@pytest.fixture(scope="session")
def model() -> GeoLangBind:
    """Random weights; statistics made up, about right per kind."""
    torch.manual_seed(0)
    made = zoo.build("tiny")
    centers = {
        "brightness": (290.0, 10.0),
        "sigma0": (-12.0, 5.0),
        "gamma0": (-12.0, 5.0),
        "display": (0.4, 0.2),
        "reflectance": (-1.8, 0.6),
    }

    def about(kind: str) -> KindStatistics:
        mean, std = centers.get(kind.split("_")[0], (0.0, 1.0))
        return KindStatistics(transform_of(kind), (0.4, 2.5), (mean, mean), (std, std))

    made.statistics = Statistics({kind: about(kind) for kind in KINDS})
    made.gsd_m = (10.0, 20.0)
    return made


SEASONS = ("winter", "spring", "summer", "autumn")
WORDS = {name: tuple(class_phrases(name)) for name in CLASSES} | {name: (f"{name} time",) for name in SEASONS}
"""Phrases of the classes of the label `classes`, a scene's class and season."""


@pytest.fixture(scope="session")
def labelled(tmp_path_factory, shards) -> Path:
    """The scenes of `shards` in rgb and dem, with a list of labels beside the single ones."""
    folder = tmp_path_factory.mktemp("evaluate") / "labelled"
    folder.mkdir()
    records = []
    for stream in ShardSet.open(shards).select(modalities=["rgb", "dem"]):
        samples = stream.read_many(range(len(stream)))
        told = [{**sample.meta.labels, "classes": [sample.meta.labels["scene_class"], sample.meta.labels["season"]]} for sample in samples]
        both = [replace(sample, meta=replace(sample.meta, labels=labels)) for sample, labels in zip(samples, told, strict=True)]
        records.append(write_shard(folder / f"{stream.modality}-000000.tar", both))
    classes = {"scene_class": {name: list(WORDS[name]) for name in CLASSES}, "classes": {name: list(own) for name, own in WORDS.items()}}
    write_index(folder, records, {"classes": classes, "synthetic": True})
    return folder


@dataclass(frozen=True)
class Constant:
    """Sees nothing: one vector for every image and every sentence."""

    name: str = "constant"
    sha256: str = "c0"
    scale: float = 100.0
    vector: torch.Tensor = field(default_factory=lambda: F.normalize(torch.rand(96, generator=torch.Generator().manual_seed(1)), dim=0))

    def images(self, batch):
        return self.vector.expand(len(batch), -1)

    def texts(self, sentences):
        return self.vector.expand(len(sentences), -1)


@dataclass(frozen=True)
class Oracle:
    """Knows all: an image's vector names its classes, season and scene, a sentence's the class it is about."""

    name: str = "oracle"
    sha256: str = "0a"
    scale: float = 100.0
    names: tuple[str, ...] = tuple(WORDS)

    def images(self, batch):
        rows = zip(batch.labels["scene_class"], batch.labels["season"], batch.labels["scene_index"], strict=True)
        return torch.stack([F.normalize(self._axis(c) + self._axis(s) + F.one_hot(torch.tensor(28 + i), 64), dim=0) for c, s, i in rows])

    def texts(self, sentences):
        return torch.stack([self._axis(self._about()[sentence]) for sentence in sentences])

    def _about(self):
        return {text: name for name, phrases in WORDS.items() for modality in MODALITIES for text in prompts(phrases, modality)}

    def _axis(self, name):
        return F.one_hot(torch.tensor(self.names.index(name)), 64).float()


@pytest.fixture(scope="session")
def constant():
    return Constant()


@pytest.fixture(scope="session")
def oracle():
    return Oracle()
