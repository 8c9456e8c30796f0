"""A tiny vocabulary, a small tower and encoders around them."""

import pytest
import torch

from geolangbind.interleaved.backbone import build_backbone, describe_backbone
from geolangbind.interleaved.encoder import InterleavedEncoder
from geolangbind.interleaved.vocabulary import tiny_vocabulary
from geolangbind.model import GeoLangBind
from geolangbind.models.encoder import VisionConfig
from geolangbind.models.interleaved import InterleavedConfig
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.statistics import KindStatistics, Statistics
from geolangbind.tokenizer import TextTokenizer, clip_tokenizer

KINDS = {
    "display": KindStatistics("identity", (0.4,), (0.5,), (0.2,)),
    "sigma0_vv_c": KindStatistics("identity", (0.0,), (-11.0,), (5.0,)),
    "sigma0_vh_c": KindStatistics("identity", (0.0,), (-18.0,), (5.0,)),
    "elevation": KindStatistics("relief", (0.0,), (0.0,), (1.5,)),
}


@pytest.fixture(scope="session")
def vocabulary():
    return tiny_vocabulary()


@pytest.fixture(scope="session")
def tower() -> GeoLangBind:
    """Images of 32 px, tokens of 8."""
    torch.manual_seed(0)
    vision = VisionConfig(32, 8, 32, 1, 2, 64, generator_hidden=64)
    towers = TwoTower(vision, TextConfig(614, 10, 16, 1, 2, 2.0, 32))
    return GeoLangBind(towers, TextTokenizer("cut", clip_tokenizer(100), 10, "canonicalize"), Statistics(KINDS)).eval()


@pytest.fixture(scope="session")
def make_encoder(tower, vocabulary):
    """`make_encoder(seed=0, backbone=None)`: an encoder of random weights, around a tiny backbone or the one given."""
    config = {"vocab_size": vocabulary.size, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}

    def make(seed: int = 0, backbone=None) -> InterleavedEncoder:
        torch.manual_seed(seed)
        backbone = backbone or build_backbone(describe_backbone("tiny", config=config))
        return InterleavedEncoder.create(tower, backbone, vocabulary, config=InterleavedConfig(factor=2))

    return make


@pytest.fixture(scope="session")
def encoder(make_encoder) -> InterleavedEncoder:
    return make_encoder()
