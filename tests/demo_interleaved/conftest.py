from types import SimpleNamespace

import pytest
import torch

from geolangbind.demo_interleaved.world import WorldSettings, rankings
from geolangbind.instruct.rows import StoredImage
from geolangbind.interleaved.collate import ImageRef
from geolangbind.interleaved.segments import Image, ImageFacts
from geolangbind.sensors import ChannelSet


class FakeImages:
    """Images that live in memory: pixels or features by number; it counts what is read."""

    def __init__(self, pixels=None, features=None, side=64):
        self.pixels, self.features, self.side, self.read = pixels, features, side, []
        self.channels = ChannelSet((0.66, 0.56, 0.49), ("display",) * 3)

    def facts(self, image):
        return ImageFacts("sentinel-2-tci", ("R", "G", "B"), self.side, self.side)

    def refs(self, images):
        found = {}
        for source in {image.source for image in images}:
            number = int(source.key)
            self.read.append(number)
            if self.features is not None:
                found[source] = ImageRef(source, "features", features=self.features[number])
            else:
                found[source] = ImageRef(source, "rgb", pixels=self.pixels[number], channels=self.channels)
        return found


@pytest.fixture
def fake():
    return SimpleNamespace(images=FakeImages, image=lambda number: Image(StoredImage("planet", str(number))))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def settings() -> WorldSettings:
    """Enough scenes for brute force, none of them drawn as pixels."""
    return WorldSettings(
        staged=40, sensors=16, changed=24, ordinary=48, held_out=48, held_out_sensors=24, held_out_changed=24, held_out_ordinary=48,
        queries=20, captions=30,
    )  # fmt: skip


@pytest.fixture(scope="session")
def ranked(settings):
    """The rankings of the test scenes by source."""
    return rankings(settings.split("test"), settings)
