"""Shards to make rows from: the planet, and samples with boxes, dates and listed classes; rows, and settings to train on them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from geolangbind.data.sample import Box, Sample, SampleMeta
from geolangbind.data.write import write_index, write_shard
from geolangbind.instruct.build import build_pairs
from geolangbind.instruct.corpus import read_corpus
from geolangbind.instruct.images import Images
from geolangbind.instruct.reading import Reader
from geolangbind.instruct.rows import Pairs
from geolangbind.instruct.settings import InterleavedSettings, from_config
from geolangbind.instruct.wordings import load_wordings
from geolangbind.planet.write import write_planet
from geolangbind.sensors.units import Unit


@pytest.fixture(scope="session")
def planet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("instruct") / "planet"
    write_planet(folder, 24, seed=1, modalities=["rgb", "sar"], workers=1, progress=False)
    return folder


@pytest.fixture(scope="session")
def chip():
    """`chip("rgb-1", scene_class="harbour", boxes=[(0, 0, 4, 4, "ship")], date="2020-05-01")`: a sample of 16 px."""

    def make(key, *, boxes=(), date=None, captions=("a place",), split=None, bbox=None, **labels):
        meta = SampleMeta(
            "sentinel-2-tci", ("R", "G", "B"), Unit.DISPLAY_U8, 10.0, captions, bbox_wgs84=bbox, datetime=date, split=split, labels=labels,
            boxes=tuple(Box(tuple(map(float, corners)), text) for *corners, text in boxes),
        )  # fmt: skip
        return Sample(key, np.full((3, 16, 16), 7, np.uint8), meta)

    return make


@pytest.fixture
def corpus_of(tmp_path):
    """`corpus_of(samples, classes={...})`: what is read from shards of these samples."""

    def make(samples, split=None, **classes):
        write_index(tmp_path / "chips", [write_shard(tmp_path / "chips" / "s-000000.tar", samples)], {"classes": classes})
        return read_corpus({"chips": tmp_path / "chips"}, split)[0]

    return make


@pytest.fixture(scope="session")
def wordings():
    return load_wordings()


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
        common = {
            "pairs": str(pairs_folder),
            "run_dir": str(tmp_path / "run"),
            "batch_size": 8,
            "block": 4,
            "progress": False,
            "report": False,
        }
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
