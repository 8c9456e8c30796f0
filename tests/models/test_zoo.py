"""Named sizes."""

import dataclasses
import io

import open_clip
import pytest
import torch
from rich.console import Console

from geolangbind.errors import SettingsError
from geolangbind.models import zoo
from geolangbind.models.two_tower import TwoTower
from geolangbind.weights.layouts import text_config, vision_config
from geolangbind.weights.show import render_zoo


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


def test_sizes_agree_with_themselves():
    for size in zoo.SIZES.values():
        assert size.vision.width == size.text.embed_dim
        assert size.vision.width % size.vision.num_heads == 0 and size.text.width % size.text.heads == 0


@pytest.mark.parametrize(("name", "count"), [("b-224", 3), ("b-224", 202), ("l-384", 3)])
def test_operations_in_closed_form(name, count):
    """Two per multiply-add of every matrix product; norms and softmax are not counted."""
    vision = zoo.get_size(name).vision
    tokens, width, hidden = vision.grid**2, vision.width, vision.mlp_hidden
    block = tokens * (4 * width**2 + 2 * width * hidden) + 2 * tokens**2 * width
    pooling = tokens * 2 * width**2 + 2 * width**2 + 2 * tokens * width + 2 * width * hidden
    embedding = tokens * count * vision.patch_size**2 * width
    expected = 2 * (vision.depth * block + pooling + embedding) / 1e9
    assert zoo.cost(name, (count,)).gflops[count] == pytest.approx(expected, rel=1e-4)


def test_siglip_2_differs_in_vocabulary_and_gelu():
    first, second = zoo.get_size("b-224"), zoo.get_size("b-224-siglip2")
    assert first.vision == second.vision
    assert (second.text.vocab_size, second.text.gelu_tanh, first.text.gelu_tanh) == (256000, True, False)
    assert zoo.get_size("l-384-siglip2").vision.grid == 24


@pytest.mark.parametrize("name", [name for name, size in zoo.SIZES.items() if size.start])
def test_sizes_agree_with_open_clip(name):
    """open_clip's own configuration of the start checkpoint gives the same towers."""
    told = open_clip.get_model_config(zoo.get_size(name).start.removeprefix("timm/"))
    size = zoo.get_size(name)
    assert size.tokenizer_repo.split("/")[1] in (told["text_cfg"]["hf_tokenizer_name"].split("/")[1], size.start.split("/")[1])
    vision = vision_config(told["vision_cfg"]["timm_model_name"], told["vision_cfg"]["image_size"], {}, name)
    text = text_config(told["text_cfg"], told["embed_dim"], name)
    assert vision == size.vision
    assert dataclasses.replace(text, mlp_ratio=0) == dataclasses.replace(size.text, mlp_ratio=0)
    assert int(text.width * text.mlp_ratio) == int(size.text.width * size.text.mlp_ratio)


def test_the_table_fits_a_terminal():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_zoo())
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
    told = " ".join(lines)
    assert all(name in told for name in zoo.SIZES) and "118.4" in told and "457.5" in told
