"""Shards to make rows from: the planet, and samples with boxes, dates and listed classes."""

import numpy as np
import pytest

from geolangbind.data.sample import Box, Sample, SampleMeta
from geolangbind.data.write import write_index, write_shard
from geolangbind.instruct.corpus import read_corpus
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
