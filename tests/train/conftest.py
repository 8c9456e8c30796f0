"""A small planet and settings to train on it."""

from pathlib import Path

import numpy as np
import pytest

from geolangbind.data.features import index_features, write_features
from geolangbind.data.shards import ShardSet
from geolangbind.planet.write import write_planet
from geolangbind.train.settings import TrainSettings, from_config

TEACHERS = {"scene": (16, 12), "register": (4, 8)}


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> Path:
    """Twelve scenes in rgb, sar and dem, with stored features of two teachers."""
    folder = tmp_path_factory.mktemp("train") / "planet"
    index = write_planet(folder, 12, seed=3, modalities=("rgb", "sar", "dem"), workers=1, progress=False)
    records = []
    for number, shard in enumerate(index.shards):
        for name, (tokens, width) in TEACHERS.items():
            rng = np.random.default_rng(number)
            rows = ((key, rng.normal(size=(tokens, width)).astype(np.float16)) for key in shard.keys)
            records.append(write_features(folder, shard, name, rows, {"teacher": name}))
    index_features(folder, records)
    return folder


@pytest.fixture
def batch(shards):
    """The first six rgb samples with the features of both teachers."""
    from geolangbind.data.batch import collate

    (stream,) = ShardSet.open(shards).select(modalities=["rgb"])
    return collate(stream.read_many(range(6), tuple(TEACHERS)))


@pytest.fixture
def settings_for(shards, tmp_path):
    """`settings_for(steps=6, ...)`: a run of the tiny model, on the CPU in float32, without progress bar and report."""

    def make(**changes) -> TrainSettings:
        group = {"name": "rgb", "modalities": dict.fromkeys(changes.pop("modalities", ["rgb"]), 1.0)}
        machine = {"accelerator": "cpu", "precision": "32-true", **changes.pop("machine", {})}
        common = {
            "data": str(shards),
            "run_dir": str(tmp_path / "run"),
            "batch_size": 4,
            "progress": False,
            "report": False,
            "resume": "auto",
        }
        return from_config({**common, "sensor_group": group, "machine": machine, **changes})

    return make
