"""DOFA, as torchgeo ships it, as a start."""

import sys
from pathlib import Path

import pytest
import torch
from torchgeo.models import DOFA

from geolangbind.errors import CheckpointError
from geolangbind.weights.load import load, load_vision

sys.path.insert(0, str(Path(__file__).parent))
import made as make

sys.path.pop(0)

UM = (0.665, 0.56, 0.49, 0.842, 1.61)


@pytest.fixture(scope="module")
def dofa():
    torch.manual_seed(2)
    model = DOFA(img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=1, num_classes=3)
    torch.nn.init.normal_(model.pos_embed, std=0.1)
    return make.shake(model).eval()


@pytest.fixture
def path(dofa, tmp_path):
    torch.save(dofa.state_dict(), tmp_path / "dofa.pth")
    return tmp_path / "dofa.pth"


@torch.no_grad()
def test_patch_tokens_and_blocks_are_dofas(dofa, path):
    with pytest.warns(UserWarning, match=r"attention pooling and final norm.*not used: cls_token, fc_norm.bias, fc_norm.weight, head"):
        tower = load_vision(path)
    image = torch.randn(2, 5, 32, 32)
    found = tower(image, UM)
    patches, _ = dofa.patch_embed(image, torch.tensor(UM))
    assert torch.allclose(found.patch_tokens, patches, atol=1e-6), "padding by one pixel included"
    x = patches + dofa.pos_embed[:, 1:]
    for block in dofa.blocks:
        x = block(x)
    assert torch.allclose(found.tokens, x, atol=1e-5)
    assert tower.config.patch_padding == 1 and not tower.config.kinds


def test_a_text_tower_of_the_same_width_is_needed(path, tmp_path):
    text = make.write_folder(tmp_path / "siglip", make.siglip().state_dict(), make.open_clip_config())
    with pytest.raises(CheckpointError, match="image tower without a text tower"):
        load(path)
    with pytest.warns(UserWarning, match="embeddings mean nothing before training"):
        model = load(path, text=text)
    again = load(model.save(tmp_path / "ours"))
    image = torch.randn(1, 5, 32, 32)
    assert torch.equal(again.encode_image(image, wavelengths_um=UM), model.encode_image(image, wavelengths_um=UM))
    assert again.encode_text(["a pond"]).shape == (1, 64)
