"""Exponential moving average of the trained weights (Polyak and Juditsky 1992): kept in checkpoints, written to model/ in their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from geolangbind.train.sharding import local

_MEMORY_AT_FIRST = 10  # after step n the decay is at most n / (n + 10), so that the random start is forgotten


def start_average(module: nn.Module) -> dict[str, Tensor]:
    """Copies of the trainable parameters by name: the average before the first step."""
    return {name: parameter.detach().clone() for name, parameter in _trained(module)}


@torch.no_grad()
def update_average(average: Mapping[str, Tensor], module: nn.Module, step: int, decay: float) -> None:
    """Move `average` in place to `d * average + (1 - d) * weight` with `d = min(decay, n / (n + 10))`, n the number of steps done.

    Args:
        average: from `start_average`, same names as the trainable parameters of `module`.
        module: what is trained.
        step: optimiser steps done.
        decay: in [0, 1).
    """
    weight = 1 - min(decay, step / (step + _MEMORY_AT_FIRST))
    names = [name for name, _ in _trained(module)]
    torch._foreach_lerp_([local(average[name]) for name in names], [local(parameter) for _, parameter in _trained(module)], weight)


@contextmanager
def averaged_weights(average: Mapping[str, Tensor], module: nn.Module) -> Iterator[None]:
    """Let the parameters be the averages for a while; afterwards each has the very memory it had. Nothing is copied."""
    parameters = dict(module.named_parameters())
    own = {name: parameters[name].data for name in average}
    try:
        for name, value in average.items():
            parameters[name].data = value
        yield
    finally:
        for name, value in own.items():
            parameters[name].data = value


def _trained(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad)
