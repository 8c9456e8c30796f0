"""Toy embedders whose scores are known on paper, and a small set of places."""

import numpy as np
import pytest
import torch

from geolangbind.crashtest.stacks import StackSet, make_batch
from geolangbind.errors import SensorError
from geolangbind.sensors import Unit, get_sensor


class Toy:
    """An embedder out of one function from a batch to vectors of any length."""

    sha256 = "toy"

    def __init__(self, function, name="toy"):
        self.name, self.function = name, function

    def images(self, batch):
        return torch.nn.functional.normalize(self.function(batch).float(), dim=1)

    def texts(self, sentences):
        raise SensorError("no texts")

    def patches(self, batch):
        raise SensorError("no patches")


@pytest.fixture(scope="session")
def toy():
    return Toy


@pytest.fixture(scope="session")
def stack():
    """`stack(places)`: noise seen by Sentinel-2 (4 bands), Sentinel-1, a picture and, as an unseen sensor, SuperDove."""

    def build(places=6, side=16, holes=False):
        rng = np.random.default_rng(0)
        keys = tuple(f"p{number}" for number in range(places))
        valid = np.ones((places, side, side), bool)
        if holes:
            valid[:, :2] = False

        def view(name, bands, unit, low, high):
            sensor = get_sensor(name)
            images = rng.uniform(low, high, (places, len(bands), side, side)).astype(np.float32)
            images *= rng.uniform(1, 2, (places, len(bands), 1, 1)).astype(np.float32)  # places differ in more than noise
            images = np.where(valid[:, None], images, 0).astype(np.float32)
            return make_batch(images, sensor, sensor.select(bands=bands), unit, 10.0, keys, list(valid))

        views = {
            "optical": view("sentinel-2-l2a", ["B02", "B03", "B04", "B08"], Unit.REFLECTANCE, 0.02, 0.4),
            "radar": view("sentinel-1-grd", ["VV", "VH"], Unit.SIGMA0_DB, -22, -5),
            "picture": view("sentinel-2-tci", ["R", "G", "B"], Unit.DISPLAY_U8, 0.1, 0.5),
            "new": view("planetscope-superdove", ["blue", "green", "red", "nir"], Unit.REFLECTANCE, 0.02, 0.4),
        }
        return StackSet("toy", True, "noise", views, {"new": "optical"}, {"optical": views["optical"], "radar": views["radar"]})

    return build


@pytest.fixture(scope="session")
def oracle(toy):
    """Knows the place by its key and nothing else."""
    return toy(lambda batch: torch.eye(64)[[int(key.rpartition("p")[2]) for key in batch.keys]], "oracle")


@pytest.fixture(scope="session")
def constant(toy):
    return toy(lambda batch: torch.ones(len(batch), 8), "constant")
