"""The text tower: published shapes and sizes, no causal mask, last token pooled."""

import json

import pytest
import torch

from geolangbind.models.text import TextConfig, build_text_tower
from geolangbind.models.zoo import SIZES

TINY = TextConfig(50, 8, 16, 1, 2, 2.0, 12)


@pytest.mark.parametrize(("size", "name"), [("b-224", "GeoLB-ViT-B-16-SigLIP"), ("l-384", "GeoLB-ViT-14-so400m-SigLIP-384")])
def test_shapes_of_the_published_models(shared, size, name):
    shapes = json.loads((shared / "parity" / "official_state_dict_shapes.json").read_text())[name]
    expected = {key.removeprefix("text."): tuple(shape) for key, shape in shapes.items() if key.startswith("text.")}
    with torch.device("meta"):
        tower = build_text_tower(SIZES[size].text)
    assert {key: tuple(value.shape) for key, value in tower.state_dict().items()} == expected


@torch.no_grad()
def test_output_shape_and_bidirectional_attention():
    torch.manual_seed(0)
    tower = build_text_tower(TINY).eval()
    ids = torch.randint(1, 50, (3, 8))
    output = tower(ids)
    assert output.shape == (3, 12) and output.dtype == torch.float32
    # the last token is pooled: it must see an earlier one, and a row must not see another
    changed = ids.clone()
    changed[0, 0] = (ids[0, 0] + 1) % 50
    other = tower(changed)
    assert not torch.allclose(output[0], other[0], atol=1e-5)
    assert torch.allclose(output[1:], other[1:], atol=1e-6)
    assert tower.attn_mask is None


def test_norms_use_the_published_epsilon():
    tower = build_text_tower(TINY)
    assert {module.eps for module in tower.modules() if isinstance(module, torch.nn.LayerNorm)} == {1e-6}
