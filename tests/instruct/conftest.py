"""A small planet, rows about it, and settings to train on them."""

from pathlib import Path

import pytest
import torch

from geolangbind.instruct.build import build_pairs
from geolangbind.instruct.images import Images
from geolangbind.instruct.reading import Reader
from geolangbind.instruct.rows import Pairs
from geolangbind.instruct.settings import InterleavedSettings, from_config
from geolangbind.planet.write import write_planet


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory) -> Path:
    """Rows of four kinds about ten scenes, each seen in rgb and sar."""
    folder = tmp_path_factory.mktemp("instruct")
    write_planet(folder / "planet", 10, seed=3, modalities=("rgb", "sar"), workers=1, progress=False)
    build_pairs([folder / "planet"], folder / "pairs", ["labels", "captions", "sensors"])
    return folder / "pairs"


@pytest.fixture
def settings_for(pairs_folder, tmp_path):
    """`settings_for(steps=6, ...)`: a run of a very small language model on the CPU in float32."""

    def make(**changes) -> InterleavedSettings:
        machine = {"accelerator": "cpu", "precision": "32-true", **changes.pop("machine", {})}
        small = {"config": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}}
        common = {"pairs": str(pairs_folder), "run_dir": str(tmp_path / "run"), "batch_size": 8, "block": 4, "progress": False}
        optim = {"warmup_steps": 1, **changes.pop("optim", {})}
        return from_config({**common, "backbone": small, "model": {"factor": 4}, "machine": machine, "optim": optim, **changes})

    return make


@pytest.fixture
def reader_for(pairs_folder):
    """`reader_for(settings)`: a reader of the rows with a newly drawn encoder."""

    def make(settings, features=None) -> Reader:
        from geolangbind.instruct.run import start_encoder

        torch.manual_seed(settings.seed)
        images = Images(Pairs.open(pairs_folder), start_encoder(settings), features)
        return Reader(images, settings.hard_negatives, settings.memory_chunk)

    return make
