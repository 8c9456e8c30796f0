"""LoRA: which modules are adapted, starting point, merging."""

import dataclasses

import pytest
import torch
from torch import nn

from geolangbind.errors import CheckpointError, SettingsError
from geolangbind.interleaved.backbone import build_backbone, describe_backbone
from geolangbind.interleaved.lora import LoraSettings, add_lora, is_adapter, lora_state, merged_lora

TINY = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SETTINGS = LoraSettings(r=2, alpha=4)
PROJECTIONS = [f"self_attn.{letter}_proj" for letter in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")]


def tiny(dtype="float32"):
    torch.manual_seed(0)
    return build_backbone(describe_backbone("tiny", config=TINY, dtype=dtype))


@torch.no_grad()
def states(backbone):
    ids = torch.tensor([[1, 2, 3]])
    return backbone(backbone.embed_tokens(ids), torch.ones_like(ids).bool(), torch.zeros_like(ids), [])


def train_a_little(backbone):
    generator = torch.Generator().manual_seed(0)
    for name, tensor in lora_state(backbone).items():
        if "lora_B" in name:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)


def test_exactly_the_language_projections_are_adapted():
    backbone = tiny()
    expected = {f"model.layers.{layer}.{name}" for layer in (0, 1) for name in PROJECTIONS}
    assert set(add_lora(backbone, SETTINGS)) == expected
    assert {name.split(".lora_")[0] for name in lora_state(backbone)} == expected
    assert {name for name, tensor in backbone.named_parameters() if tensor.requires_grad} == set(lora_state(backbone))


def test_vision_modules_of_the_same_names_are_left_alone():
    """Qwen2.5-VL's tower has gate_proj, up_proj and down_proj, CLIP's has q_proj ... in layers.N.self_attn: short names would take them."""
    backbone = tiny()
    backbone.model.visual = nn.ModuleDict({"layers": nn.ModuleList([nn.ModuleDict({"mlp": nn.ModuleDict({"up_proj": nn.Linear(4, 4)})})])})
    adapted = add_lora(backbone, SETTINGS)
    assert len(adapted) == 14 and not any("visual" in name for name in adapted)
    assert not any("visual" in name for name in lora_state(backbone))


@pytest.mark.parametrize("dora", [False, True])
def test_adapters_start_as_no_change_and_merge_exactly_there_and_back(dora):
    backbone = tiny()
    before = states(backbone)
    add_lora(backbone, dataclasses.replace(SETTINGS, dora=dora))
    assert torch.allclose(states(backbone), before, atol=1e-6)
    train_a_little(backbone)
    adapted = states(backbone)
    assert not torch.allclose(adapted, before, atol=1e-2)
    with merged_lora(backbone):
        assert torch.allclose(states(backbone), adapted, atol=1e-5)
    assert torch.equal(states(backbone), adapted)


def test_the_change_is_alpha_over_r_times_b_a():
    backbone = tiny()
    add_lora(backbone, SETTINGS)
    train_a_little(backbone)
    layer = backbone.model.layers[0].self_attn.q_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    x = torch.randn(5, 32)
    assert torch.allclose(layer(x), x @ (layer.base_layer.weight + 4 / 2 * b @ a).T, atol=1e-5)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_adapters_of_a_bfloat16_backbone_are_float32_and_take_small_steps(dora, autocast):
    """The first step of Adam is as long as its learning rate: 1e-6 here, of which bfloat16 would see nothing in weights of 0.1."""
    backbone = tiny("bfloat16")
    add_lora(backbone, dataclasses.replace(SETTINGS, dora=dora))
    train_a_little(backbone)
    adapters = {name: tensor for name, tensor in backbone.named_parameters() if is_adapter(name)}
    assert {tensor.dtype for tensor in adapters.values()} == {torch.float32} and backbone.model.dtype == torch.bfloat16
    before = {name: tensor.detach().clone() for name, tensor in adapters.items()}
    optimizer = torch.optim.AdamW(adapters.values(), lr=1e-6, weight_decay=0.0)
    ids = torch.tensor([[1, 2, 3]])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = backbone(backbone.embed_tokens(ids), torch.ones_like(ids).bool(), torch.zeros_like(ids), [])
    assert found.dtype == torch.bfloat16
    found.float()[:, :, 0].sum().backward()
    optimizer.step()
    for name, tensor in adapters.items():
        assert tensor.grad.dtype == torch.float32
        steps = (tensor.detach() - before[name]).abs()[tensor.grad.abs() > 1e-4]
        assert len(steps) and torch.allclose(steps, torch.tensor(1e-6), rtol=0.1), name


@pytest.mark.parametrize("dora", [False, True])
def test_adapters_of_a_bfloat16_backbone_merge_there_and_back(dora):
    backbone = tiny("bfloat16")
    add_lora(backbone, dataclasses.replace(SETTINGS, dora=dora))
    train_a_little(backbone)
    before, adapted = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}, states(backbone)
    with merged_lora(backbone):
        torch.testing.assert_close(states(backbone), adapted, atol=0.1, rtol=0)
    assert all(torch.equal(tensor, before[name]) and tensor.dtype == before[name].dtype for name, tensor in backbone.state_dict().items())


def test_adapter_tensors_are_told_from_others():
    backbone = tiny()
    assert lora_state(backbone) == {}
    add_lora(backbone, SETTINGS)
    assert len(lora_state(backbone)) == 2 * 14
    assert not is_adapter("model.layers.0.self_attn.q_proj.base_layer.weight")


def test_targets_that_match_nothing_are_refused():
    with pytest.raises(SettingsError, match=r"match no linear layer of the backbone; one of its layers is model\.layers\.0\."):
        add_lora(tiny(), LoraSettings(targets="q_proj"))


@pytest.mark.parametrize("wrong", [{"r": 0}, {"alpha": 0}, {"dropout": 1.0}, {"targets": "("}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(SettingsError, match="LoRA"):
        LoraSettings(**wrong)


def test_settings_survive_json():
    assert LoraSettings.from_json(SETTINGS.to_json()) == SETTINGS
    with pytest.raises(CheckpointError, match=r"damaged.*rank"):
        LoraSettings.from_json({"rank": 3})
