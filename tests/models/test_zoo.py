"""Named sizes."""

import dataclasses

import pytest
import torch

from geolangbind.errors import CheckpointError, SettingsError
from geolangbind.models import zoo
from geolangbind.models.two_tower import TwoTower


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("name", "vision", "generator", "text"), [("b-224", 118.40, 26.10, 110.27), ("l-384", 457.47, 29.92, 449.73)])
def test_parameter_counts_of_the_published_sizes_in_millions(name, vision, generator, text):
    size = zoo.get_size(name)
    with torch.device("meta"):
        towers = TwoTower(dataclasses.replace(size.vision, kinds=False), size.text)
    found = [count(part) / 1e6 for part in (towers.vision, towers.vision.patch_embed, towers.text)]
    assert found == pytest.approx([vision, generator, text], abs=0.005)


def test_unknown_size_lists_the_known():
    with pytest.raises(SettingsError, match="unknown model size 'huge'; sizes are tiny, b-224, l-384"):
        zoo.get_size("huge")
    with pytest.raises(SettingsError, match="huge"):
        zoo.build("huge")


def test_tiny_is_complete_and_offline():
    torch.manual_seed(1)
    model = zoo.build("tiny")
    assert not model.towers.training
    assert model.tokenizer.core.get_vocab_size() == 8192 == zoo.SIZES["tiny"].text.vocab_size
    vectors = model.encode_text(["a harbour", "two ponds beside a field"])
    assert vectors.shape == (2, zoo.SIZES["tiny"].text.embed_dim)
    assert model.vision.config.stride * model.vision.config.grid == 64
    assert zoo.fetch_tokenizer("tiny") is None


def test_sizes_agree_with_themselves():
    for size in zoo.SIZES.values():
        assert size.vision.width == size.text.embed_dim
        assert size.vision.width % size.vision.num_heads == 0 and size.text.width % size.text.heads == 0


def test_a_tokenizer_out_of_reach_names_the_way_out(monkeypatch):
    def offline(repo: str, context_length: int):
        raise OSError("no network")

    monkeypatch.setattr(zoo, "tokenizer_from_hub", offline)
    with pytest.raises(CheckpointError, match=r"tokenizer.json of timm/ViT-B-16-SigLIP.*no network.*model folder"):
        zoo.fetch_tokenizer("b-224")
