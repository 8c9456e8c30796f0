"""Both towers side by side: unit vectors, temperature and bias as in SigLIP."""

import math

import torch

from geolangbind.models.encoder import VisionConfig
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.sensors.channels import ChannelSet

CHANNELS = ChannelSet((0.665, 0.56, 0.49), ("display",) * 3)


def build() -> TwoTower:
    torch.manual_seed(0)
    return TwoTower(VisionConfig(32, 8, 32, 1, 2, 64, generator_hidden=32), TextConfig(50, 8, 16, 1, 2, 2.0, 32)).eval()


@torch.no_grad()
def test_vectors_have_unit_length():
    towers = build()
    vectors, output = towers.image_vectors(torch.randn(2, 3, 32, 32), CHANNELS)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-6)
    assert torch.allclose(vectors * output.embedding.norm(dim=1, keepdim=True), output.embedding, atol=1e-5)
    text = towers.text_vectors(torch.randint(0, 50, (4, 8)))
    assert text.shape == (4, 32) and torch.allclose(text.norm(dim=1), torch.ones(4), atol=1e-6)


@torch.no_grad()
def test_vectors_are_float32_under_autocast():
    towers = build()
    with torch.autocast("cpu", torch.bfloat16):
        assert towers.image_vectors(torch.randn(1, 3, 32, 32), CHANNELS)[0].dtype == torch.float32
        assert towers.text_vectors(torch.randint(0, 50, (1, 8))).dtype == torch.float32


@torch.no_grad()
def test_logit_parameters_start_as_in_siglip():
    towers = build()
    assert math.isclose(float(towers.logit_scale.exp()), 10.0, rel_tol=1e-6)
    assert float(towers.logit_bias) == -10.0
    assert towers.logit_scale.shape == towers.logit_bias.shape == ()


@torch.no_grad()
def test_mask_is_passed_on():
    towers = build()
    image, valid = torch.randn(1, 3, 32, 32), torch.ones(1, 32, 32, dtype=torch.bool)
    valid[:, :8] = False
    spoiled = torch.where(valid.unsqueeze(1), image, 7.0)
    assert torch.equal(towers.image_vectors(image, CHANNELS, valid)[0], towers.image_vectors(spoiled, CHANNELS, valid)[0])
