"""Three tiny models of one start with one text tower, and planet shards to measure them on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from geolangbind.evaluate.suite import Labelled
from geolangbind.model import GeoLangBind
from geolangbind.models.encoder import VisionConfig
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.planet.write import write_planet
from geolangbind.statistics import KindStatistics, Statistics
from geolangbind.tokenizer import TextTokenizer, clip_tokenizer

DISPLAY = {"display": KindStatistics("identity", (0.5,), (0.4,), (0.2,))}
ELEVATION = {"elevation": KindStatistics("relief", (0.0,), (0.0,), (1.0,))}


def build(seed: int) -> GeoLangBind:
    """A model whose vectors differ from image to image: random weights, larger than a start has them."""
    torch.manual_seed(seed)
    towers = TwoTower(VisionConfig(64, 8, 32, 1, 2, 64, generator_hidden=64), TextConfig(614, 24, 32, 1, 2, 2.0, 32))
    with torch.no_grad():
        for parameter in towers.parameters():
            if parameter.ndim:
                parameter += 0.1 * torch.randn_like(parameter)
    return GeoLangBind(towers, TextTokenizer("cut", clip_tokenizer(100), 24, "canonicalize"), Statistics({**DISPLAY}), gsd_m=(10.0,)).eval()


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> Path:
    """Sixteen scenes in rgb and dem."""
    folder = tmp_path_factory.mktemp("sweep") / "planet"
    write_planet(folder, 16, seed=3, modalities=("rgb", "dem"), workers=1, progress=False)
    return folder


@pytest.fixture(scope="session")
def suite(shards) -> Labelled:
    return Labelled("planet", str(shards), "scene_class")


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, str]:
    """Folders of base, rgb and others. Only others knows elevation; a tensor is equal in all of them, and rgb has a MaKA projector."""
    folder, base = tmp_path_factory.mktemp("models"), build(0)
    made = {"base": base}
    for seed, role in enumerate(("rgb", "others"), start=1):
        child = build(seed)
        child.towers.text.load_state_dict(base.towers.text.state_dict())
        child.towers.logit_scale, child.towers.logit_bias = base.towers.logit_scale, base.towers.logit_bias
        child.vision.norm.load_state_dict(base.vision.norm.state_dict())
        made[role] = child
    made["others"].statistics = Statistics({**DISPLAY, **ELEVATION})
    made["others"].gsd_m = (10.0, 30.0)
    made["rgb"] = replace(made["rgb"], heads={"maka.scene.weight": torch.ones(2)})
    return {role: str(model.save(folder / role / "model").parent) for role, model in made.items()}
