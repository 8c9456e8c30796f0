"""A hub on this machine, for the tests that fetch and push."""

import importlib.util
from pathlib import Path

import pytest
import torch

from geolangbind.model import GeoLangBind
from geolangbind.models.encoder import VisionConfig
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.statistics import KindStatistics, Statistics
from geolangbind.tokenizer import TextTokenizer, clip_tokenizer

_SPEC = importlib.util.spec_from_file_location("fake_hub", Path(__file__).with_name("fake_hub.py"))
fake_hub = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fake_hub)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub that HF_ENDPOINT names, with an empty cache and no token."""
    from huggingface_hub import constants

    for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # read from the environment once, at import
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-home"))
    server = fake_hub.FakeHub()
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    yield server
    server.stop()


@pytest.fixture
def log_in(monkeypatch):
    """Give the right token."""
    return lambda: monkeypatch.setenv("HF_TOKEN", fake_hub.TOKEN)


@pytest.fixture
def small_model():
    """A whole model of random weights: `small_model(seed=1, trained_sensors=(...))`, fields of GeoLangBind as named."""

    def build(seed=0, **changes):
        torch.manual_seed(seed)
        vision = VisionConfig(32, 8, 32, 1, 2, 64, generator_hidden=64)
        tokenizer = TextTokenizer("cut", clip_tokenizer(100), 10, "canonicalize")
        statistics = Statistics(
            {"display": KindStatistics("identity", (0.5, 0.7), (0.4, 0.4), (0.2, 0.2))},
            {"sentinel-2-tci/display": dict.fromkeys(("R", "G", "B"), (0.4, 0.2))},
        )
        fields = {"tokenizer": tokenizer, "statistics": statistics, "trained_sensors": ("sentinel-2-tci",), "gsd_m": (10.0,)}
        return GeoLangBind(TwoTower(vision, TextConfig(614, 10, 16, 1, 2, 2.0, 32)), **{**fields, **changes}).eval()

    return build
