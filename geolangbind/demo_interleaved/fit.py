"""The one training loop of the controls: the same rows, the same truth and the same loss as the interleaved encoder's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from rich.progress import track
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from geolangbind.demo_interleaved.parts import Form, Images, PartsModel
from geolangbind.instruct.order import BlockOrder
from geolangbind.instruct.reading import number_of
from geolangbind.instruct.rows import Pairs, Row
from geolangbind.instruct.segments_json import key_of
from geolangbind.losses import HardNegatives, Truth, truthful_nce

Draw = Callable[[int], Sequence[Row]]
"""The rows of a step."""


@dataclass(frozen=True)
class Recipe:
    """How a control is trained.

    Attributes:
        steps: optimiser steps.
        learning_rate: the highest; a twentieth of the steps warms up to it, a cosine leads to 0.
        weight_decay: of AdamW, on matrices only.
        temperature: at the start; it is learned.
        forms: of boxes, taking turns from step to step.
    """

    steps: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    temperature: float = 0.07
    forms: tuple[Form, ...] = ("cut",)


def drawer(pairs: Pairs, weights: Mapping[str, float], batch_size: int, seed: int) -> Draw:
    """Rows of one source per step, sources by `weights`: the order of the interleaved encoder's blocks, with one block a step."""
    sources = [pairs.sources[name] for name in weights]
    order = BlockOrder([len(source) for source in sources], list(weights.values()), batch_size, batch_size, seed)
    kept: dict[tuple[str, int], Row] = {}  # reading a line takes longer than an MLP's step has to spare

    def draw(step: int) -> Sequence[Row]:
        (taken,) = order.batch(step)
        name = sources[taken.source].name
        if new := [number for number in taken.rows.tolist() if (name, number) not in kept]:
            kept.update(((name, number), row) for number, row in zip(new, pairs.read(name, new), strict=True))
        return [kept[name, number] for number in taken.rows.tolist()]

    return draw


def fit(model: PartsModel, images: Images, draw: Draw, recipe: Recipe, label: str, *, progress: bool = True) -> float:
    """Train `model` in place; returns the mean loss of the last tenth of the steps."""
    log_scale = nn.Parameter(torch.tensor(-math.log(recipe.temperature)))
    parameters = [*model.parameters(), log_scale]
    matrices, vectors = ([p for p in parameters if (p.ndim > 1) == wide] for wide in (True, False))
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, recipe.steps))
    model.train()
    losses: list[float] = []
    for step in track(range(recipe.steps), label, disable=not progress):
        loss = contrast(model, images, draw(step), log_scale.exp(), recipe.forms[step % len(recipe.forms)])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            log_scale.clamp_(0, math.log(100))
        losses.append(float(loss.detach()))
    model.eval()
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail)


def contrast(model: PartsModel, images: Images, rows: Sequence[Row], scale: Tensor, form: Form) -> Tensor:
    """Loss of a batch in both directions; what is known to be right is never taken for wrong, and hard negatives are columns."""
    width = max(len(row.negatives) for row in rows)
    columns = [[row.query for row in rows], [row.target for row in rows]]
    columns += [[row.negatives[n] if n < len(row.negatives) else row.target for row in rows] for n in range(width)]
    vectors = model([sequence for column in columns for sequence in column], images, form)
    query, target, *others = vectors.unflatten(0, (len(columns), len(rows))).unbind(0)
    negatives = None
    if others:
        present = torch.tensor([[n < len(row.negatives) for n in range(width)] for row in rows])
        keys = torch.tensor([[number_of(key_of(sequence)) for sequence in column] for column in columns[2:]]).T
        negatives = HardNegatives(torch.stack(others, dim=1), keys, present)
    return truthful_nce(query, target, scale, _truth(rows), negatives, both_directions=True)


def step_flops(model: PartsModel, images: Images, draw: Draw, forms: Sequence[Form], probes: int = 8) -> float:
    """Floating-point operations of a training step: mean over the first `probes` steps, forward and backward, nothing is updated."""
    model.train()
    scale = torch.ones(())
    total = sum(flops_of(partial(contrast, model, images, draw(step), scale, forms[step % len(forms)])) for step in range(probes))
    model.zero_grad()
    return total / probes


def flops_of(loss: Callable[[], Tensor]) -> int:
    """Operations that a loss and its backward pass take, as torch counts them: of matrix products, convolutions and attention."""
    with FlopCounterMode(display=False) as counter:
        loss().backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


def _truth(rows: Sequence[Row]) -> Truth:
    right = [sorted(map(number_of, {*row.true, row.target_key, key_of(row.target)})) for row in rows]
    width = max(map(len, right))
    keys = torch.tensor([number_of(row.target_key) for row in rows])
    return Truth(keys, torch.tensor([found + found[:1] * (width - len(found)) for found in right]), torch.zeros_like(keys))


def _share(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
