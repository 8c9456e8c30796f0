"""The schedule in closed form, and what is decayed."""

import math

import pytest
import torch
from torch import nn

from geolangbind.models import zoo
from geolangbind.train.optim import build_optimizer, layer_scales, learning_rate
from geolangbind.train.run_settings import Optim


@pytest.mark.parametrize(
    ("step", "share"),
    [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (60, 0.55), (110, 0.1), (200, 0.1)],
    ids=["first", "half-way up", "top", "after warm-up", "half-way down", "end", "beyond"],
)
def test_learning_rate_in_closed_form(step, share):
    # from 0.1 x to 1 x peak in 10 steps, then half a cosine over 100 steps to 0.1 x: half-way (1 + 0.1) / 2
    assert learning_rate(step, 110, Optim(lr=0.4, warmup_steps=10, final_lr=0.1)) == pytest.approx(0.4 * share)


def test_learning_rate_never_rises_after_warm_up_and_follows_torch():
    settings = Optim(lr=1.0, warmup_steps=0, final_lr=0.2)
    rates = [learning_rate(step, 30, settings) for step in range(31)]
    scheduler_optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(scheduler_optimizer, T_max=30, eta_min=0.2)
    for rate in rates:
        assert rate == pytest.approx(cosine.get_last_lr()[0])
        scheduler_optimizer.step()
        cosine.step()
    assert rates == sorted(rates, reverse=True)


def test_a_warm_up_longer_than_the_run_is_no_division_by_zero():
    assert [learning_rate(step, 2, Optim(lr=1.0, warmup_steps=4)) for step in range(2)] == [0.25, 0.5]
    assert learning_rate(0, 1, Optim(lr=1.0, warmup_steps=0)) == 1.0


def test_vectors_and_codes_are_not_decayed():
    model = zoo.build("tiny").towers
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, plain = build_optimizer(model, Optim(weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)
    decayed, plain = ({names[id(p)] for p in group["params"]} for group in (decayed, plain))
    assert decayed | plain == set(names.values()) and not decayed & plain
    shapes = {name: parameter.ndim for name, parameter in model.named_parameters()}
    assert {name for name in shapes if shapes[name] < 2} <= plain
    for code in ("kind_code", "frequency_code", "pos_embed", "positional_embedding", "weight_tokens", "bias_token", "latent"):
        found = {name for name in names.values() if name.endswith(code)}
        assert found and found <= plain, code
    assert all(name in decayed for name in names.values() if name.endswith(("mlp.fc1.weight", "mlp.c_fc.weight")))


def test_frozen_parameters_are_left_out():
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    module[0].requires_grad_(False)
    groups = build_optimizer(module, Optim()).param_groups
    assert [id(p) for group in groups for p in group["params"]] == [id(module[1].weight), id(module[1].bias)]


def test_one_step_of_adamw_by_hand():
    # first step of Adam with bias correction moves every weight by lr * sign(gradient), decay takes lr * decay * weight off first
    module = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, -2.0]]))
    optimizer = build_optimizer(module, Optim(lr=0.1, weight_decay=0.5, eps=1e-12))
    module(torch.tensor([[3.0, -4.0]])).sum().backward()
    optimizer.step()
    expected = [1 - 0.1 * 0.5 * 1 - 0.1, -2 + 0.1 * 0.5 * 2 + 0.1]
    assert module.weight.tolist()[0] == pytest.approx(expected, rel=1e-6) and math.isfinite(sum(expected))


def test_layer_decay_in_closed_form():
    """Three vision blocks and two text blocks: embeddings 0.5^4 and 0.5^3, the last block 0.5, what follows 1."""
    names = [name for name, _ in zoo.build("tiny").towers.named_parameters()]
    scales = layer_scales([f"towers.{name}" for name in names], 0.5)
    expected = {
        "vision.pos_embed": 0.0625, "vision.patch_embed.kind_code": 0.0625, "vision.stem.0.0.weight": 0.0625,
        "vision.patch_embed.weight_generator.transformer_encoder.layers.0.norm1.bias": 0.0625,
        "vision.blocks.0.norm1.weight": 0.125, "vision.blocks.1.mlp.fc1.bias": 0.25, "vision.blocks.2.attn.qkv.weight": 0.5,
        "vision.norm.weight": 1.0, "vision.attn_pool.latent": 1.0, "vision.attn_pool.mlp.fc1.weight": 1.0,
        "text.token_embedding.weight": 0.125, "text.positional_embedding": 0.125, "text.transformer.resblocks.0.ln_1.weight": 0.25,
        "text.transformer.resblocks.1.mlp.c_fc.weight": 0.5, "text.ln_final.bias": 1.0, "text.text_projection.weight": 1.0,
        "logit_scale": 1.0, "logit_bias": 1.0,
    }  # fmt: skip
    assert {name: scales[f"towers.{name}"] for name in expected} == expected
    assert layer_scales(names, 0.5) == {name.removeprefix("towers."): scale for name, scale in scales.items()}
    assert layer_scales(["maka.scene.blocks.0.weight", "maka.scene.stem.bias"], 0.5).keys() and set(
        layer_scales(["maka.scene.blocks.0.weight", "maka.scene.stem.bias"], 0.5).values()
    ) == {1.0}
    assert set(layer_scales(names, 1.0).values()) == {1.0}


def test_groups_hold_every_parameter_once_at_its_factor():
    towers = zoo.build("tiny").towers
    names = {id(parameter): name for name, parameter in towers.named_parameters()}
    groups = build_optimizer(towers, Optim(layer_decay=0.5, weight_decay=0.3)).param_groups
    placed = {names[id(p)]: (group["lr_scale"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(names) == len(placed)
    assert {name: scale for name, (scale, _) in placed.items()} == layer_scales(list(placed), 0.5)
    neutral = build_optimizer(towers, Optim(weight_decay=0.3)).param_groups
    assert {names[id(p)]: group["weight_decay"] for group in neutral for p in group["params"]} == {n: d for n, (_, d) in placed.items()}
