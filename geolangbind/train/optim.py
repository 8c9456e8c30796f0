"""Optimiser and schedule. Steps are global optimiser steps: no sensor group has a schedule of its own."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from torch import nn
from torch.optim import AdamW

from geolangbind.train.run_settings import Optim
from geolangbind.train.sharding import split

_NO_DECAY = ("kind_code", "frequency_code", "weight_tokens", "bias_token", "pos_embed", "positional_embedding", "latent")
_TOWER = re.compile(r"(?:^|\.)(vision|text)\.(.+)$")
_BLOCK = re.compile(r"^(?:blocks|transformer\.resblocks)\.(\d+)\.")
_EMBEDDING = re.compile(r"^(?:patch_embed|stem|pos_embed|token_embedding|positional_embedding)(?:\.|$)")


def build_optimizer(module: nn.Module, settings: Optim, factors: Mapping[str, float] | None = None) -> AdamW:
    """AdamW over the trainable parameters; no decay on vectors, codes and position embeddings.

    Args:
        module: what is trained.
        settings: of the run.
        factors: factor of the learning rate for parameters whose names begin so, beside that of their layer.

    Returns:
        Optimiser whose groups may hold `lr_scale`, a factor of the schedule (`layer_scales`); without it the factor is 1.
    """
    trained = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    plain = {name for name, p in trained if p.ndim < 2 or name.rsplit(".", 1)[-1] in _NO_DECAY}
    scales = layer_scales([name for name, _ in trained], settings.layer_decay)
    for prefix, factor in (factors or {}).items():
        scales |= {name: factor * scale for name, scale in scales.items() if name.startswith(prefix)}
    groups = []
    for scale in sorted(set(scales.values()) | {1.0}, reverse=True):
        for decay, exempt in ((settings.weight_decay, False), (0.0, True)):
            members = [p for name, p in trained if scales[name] == scale and (name in plain) == exempt]
            # split weights and whole ones apart; without members of its own a group of the full rate stays, as ever
            for kind in split(members) or [members] * (scale == 1):
                groups.append({"params": kind, "weight_decay": decay, "lr_scale": scale})
    return AdamW(groups, lr=settings.lr, betas=(settings.beta1, settings.beta2), eps=settings.eps, fused=True)


def layer_scales(names: list[str], decay: float) -> dict[str, float]:
    """Layer-wise learning-rate factors, as in ELECTRA (arXiv 2003.10555) and BEiT (arXiv 2106.08254).

    In a tower of N blocks the embeddings get `decay^(N + 1)`, block i (from 0) gets `decay^(N - i)`; what comes after the blocks (norm,
    pooling, projection) and what belongs to no tower (temperature, MaKA projectors) gets 1.

    Args:
        names: parameter names, of a model or of a module that holds one.
        decay: factor per layer, in (0, 1].

    Returns:
        Factor by name.
    """
    depths: dict[str, int] = {}
    places: dict[str, tuple[str, int | None]] = {}
    for name in names:
        tower, rest = found.groups() if (found := _TOWER.search(name)) else ("", "")
        block = _BLOCK.match(rest)
        layer = 0 if _EMBEDDING.match(rest) else int(block[1]) + 1 if block else None
        places[name] = tower, layer
        depths[tower] = max(depths.get(tower, 0), layer or 0)
    return {name: 1.0 if layer is None else decay ** (depths[tower] + 1 - layer) for name, (tower, layer) in places.items()}


def learning_rate(step: int, steps: int, settings: Optim) -> float:
    """Learning rate of optimiser step `step` (from 0) of `steps`: linear warm-up, then half a cosine to `final_lr` x peak."""
    if step < settings.warmup_steps:
        return settings.lr * (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, steps - settings.warmup_steps)
    floor = settings.final_lr * settings.lr
    return floor + (settings.lr - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
