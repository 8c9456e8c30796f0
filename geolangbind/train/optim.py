"""Optimiser and schedule. Steps are global optimiser steps: no sensor group has a schedule of its own."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import AdamW

from geolangbind.train.settings import Optim

_NO_DECAY = ("kind_code", "frequency_code", "weight_tokens", "bias_token", "pos_embed", "positional_embedding", "latent")


def build_optimizer(module: nn.Module, settings: Optim) -> AdamW:
    """AdamW over the trainable parameters; no decay on vectors, codes and position embeddings."""
    trained = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    plain = [p for name, p in trained if p.ndim < 2 or name.rsplit(".", 1)[-1] in _NO_DECAY]
    decayed = [p for name, p in trained if not (p.ndim < 2 or name.rsplit(".", 1)[-1] in _NO_DECAY)]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return AdamW(groups, lr=settings.lr, betas=(settings.beta1, settings.beta2), eps=settings.eps, fused=True)


def learning_rate(step: int, steps: int, settings: Optim) -> float:
    """Learning rate of optimiser step `step` (from 0) of `steps`: linear warm-up, then half a cosine to `final_lr` x peak."""
    if step < settings.warmup_steps:
        return settings.lr * (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, steps - settings.warmup_steps)
    floor = settings.final_lr * settings.lr
    return floor + (settings.lr - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
