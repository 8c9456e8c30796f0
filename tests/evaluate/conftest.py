"""A tiny untrained model that knows every physical kind, an embedder that sees nothing, one that knows all, and shards to measure on."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from geolangbind.data.shards import ShardSet
from geolangbind.data.write import write_index, write_shard
from geolangbind.evaluate.embedder import Patches
from geolangbind.evaluate.prompts import prompts
from geolangbind.evaluate.results import ResultRow
from geolangbind.model import GeoLangBind
from geolangbind.models import zoo
from geolangbind.planet.groups import CLASSES, MODALITIES
from geolangbind.planet.language import class_phrases
from geolangbind.planet.materials import MASK_CLASSES
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


GROUPS = ("first", "second", "third", "fourth")
WORDS = {name: tuple(class_phrases(name)) for name in CLASSES} | {name: (f"of the {name} group",) for name in GROUPS}
"""Phrases of the classes of the label `classes`: a scene's class, and one of four groups of classes."""
COVER = {name: (f"{name} as cover",) for name in MASK_CLASSES}
"""Phrases of the classes of masks, which no scene class shares."""


def group_of(scene_class):
    return GROUPS[CLASSES.index(scene_class) % len(GROUPS)]


def write_labelled(folder: Path, shards: Path, step: int) -> Path:
    """Write rgb and dem with a list of labels beside the single ones; with step -1 samples and classes in the other order."""
    folder.mkdir()
    records = []
    for stream in ShardSet.open(shards).select(modalities=["rgb", "dem"]):
        samples = stream.read_many(range(len(stream)))[::step]
        told = [{**s.meta.labels, "classes": [s.meta.labels["scene_class"], group_of(s.meta.labels["scene_class"])]} for s in samples]
        both = [replace(sample, meta=replace(sample.meta, labels=labels)) for sample, labels in zip(samples, told, strict=True)]
        records.append(write_shard(folder / f"{stream.modality}-000000.tar", both))
    listed = {"scene_class": {name: WORDS[name] for name in CLASSES}, "classes": WORDS, "cover": COVER}
    classes = {label: {name: list(words[name]) for name in [*words][::step]} for label, words in listed.items()}
    masks = {str(value): MASK_CLASSES[value] for value in range(len(MASK_CLASSES))[::step]}
    write_index(folder, records, {"classes": classes, "mask_classes": masks, "synthetic": True})
    return folder


@pytest.fixture(scope="session")
def labelled(tmp_path_factory, shards) -> Path:
    """The scenes of `shards` in rgb and dem, labelled for every task."""
    return write_labelled(tmp_path_factory.mktemp("evaluate") / "labelled", shards, 1)


@pytest.fixture(scope="session")
def reordered(tmp_path_factory, shards) -> Path:
    """The same, with samples and classes in the other order."""
    return write_labelled(tmp_path_factory.mktemp("evaluate") / "reordered", shards, -1)


@dataclass(frozen=True)
class Constant:
    """Sees nothing: one vector for every image, every patch and every sentence."""

    name: str = "constant"
    sha256: str = "c0"
    scale: float = 100.0
    vector: torch.Tensor = field(default_factory=lambda: F.normalize(torch.rand(96, generator=torch.Generator().manual_seed(1)), dim=0))

    def images(self, batch):
        return self.vector.expand(len(batch), -1)

    def texts(self, sentences):
        return self.vector.expand(len(sentences), -1)

    def patches(self, batch):
        tokens = self.vector.expand(len(batch), 4, -1)
        return Patches(tokens, (2, 2), tokens)


@dataclass(frozen=True)
class Oracle:
    """Knows all.

    An image's vector names its class, group and scene, a pixel's its cover; a sentence's the class that it is about, or, if it is a
    caption, the image seen with it.
    """

    name: str = "oracle"
    sha256: str = "0a"
    scale: float = 100.0
    captions: dict[str, torch.Tensor] = field(default_factory=dict)

    def images(self, batch):
        named = zip(batch.labels["scene_class"], batch.labels["scene_index"], strict=True)
        found = [F.normalize(_axis(_NAMES.index(c)) + _axis(_NAMES.index(group_of(c))) + _axis(len(_NAMES) + i), dim=0) for c, i in named]
        self.captions.update((sentence, vector) for told, vector in zip(batch.captions, found, strict=True) for sentence in told)
        return torch.stack(found)

    def texts(self, sentences):
        return torch.stack([_axis(_ABOUT[text]) if text in _ABOUT else self.captions[text] for text in sentences])

    def patches(self, batch):
        cover, grid = batch.masks.long().flatten(1), tuple(batch.masks.shape[1:])
        return Patches(F.one_hot(cover, len(COVER)).float(), grid, F.one_hot(len(WORDS) + cover, _WIDTH).float(), stride=1)


_WIDTH = 64
_NAMES = (*WORDS, *(f"{name} cover" for name in COVER))
_ABOUT = {
    text: number
    for number, phrases in enumerate([*WORDS.values(), *COVER.values()])
    for modality in MODALITIES
    for text in prompts(phrases, modality)
}


def _axis(number):
    return F.one_hot(torch.tensor(number), _WIDTH).float()


@pytest.fixture(scope="session")
def constant():
    return Constant()


@pytest.fixture(scope="session")
def oracle():
    return Oracle()
