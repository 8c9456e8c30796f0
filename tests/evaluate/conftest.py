"""A tiny untrained model that knows every physical kind, and shards of the planet to measure on."""

from pathlib import Path

import pytest
import torch

from geolangbind.data.shards import ShardSet
from geolangbind.evaluate.results import ResultRow
from geolangbind.model import GeoLangBind
from geolangbind.models import zoo
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
