"""The one training loop of the controls: the same rows, the same truth and the same loss as the interleaved encoder's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from geolangbind.demo_interleaved.parts import Form, Images, PartsModel
from geolangbind.errors import SettingsError
from geolangbind.instruct.order import BlockOrder
from geolangbind.instruct.reading import number_of
from geolangbind.instruct.row import Row, keys_of_negatives, with_negatives
from geolangbind.instruct.rows import Pairs
from geolangbind.instruct.segments_json import key_of
from geolangbind.losses import HardNegatives, Truth, truthful_nce

_WARM_UP = 0.05

Draw = Callable[[int], Sequence[Row]]
"""The rows of a step."""


@dataclass(frozen=True)
class Recipe:
    """How a control is trained.

    Attributes:
        steps: how long, in optimiser steps; or
        flops: in floating-point operations, forward and backward, whatever the machine and its load.
        learning_rate: the highest; a twentieth of the training warms up to it, a cosine leads to 0.
        weight_decay: of AdamW, on matrices only.
        temperature: at the start; it is learned.
        forms: of boxes, taking turns from step to step.
    """

    steps: int = 0
    flops: float = 0.0
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    temperature: float = 0.07
    forms: tuple[Form, ...] = ("cut",)

    def __post_init__(self) -> None:
        if (self.steps > 0) == (self.flops > 0):
            raise SettingsError(f"a control is trained for steps or for flops, got {self.steps} and {self.flops:g}; give one of them")


def drawer(pairs: Pairs, weights: Mapping[str, float], batch_size: int, seed: int, hard_negatives: int = 1) -> Draw:
    """Rows of one source per step, sources by `weights`: the order of the interleaved encoder's blocks, with one block a step.

    Args:
        pairs: with all the sources.
        weights: share of steps by source.
        batch_size: rows of a step.
        seed: of the order.
        hard_negatives: most of a row's own that are used.
    """
    sources = [pairs.sources[name] for name in weights]
    order = BlockOrder([len(source) for source in sources], list(weights.values()), batch_size, batch_size, seed)
    kept: dict[tuple[str, int], Row] = {}  # reading a line takes longer than an MLP's step has to spare

    def draw(step: int) -> Sequence[Row]:
        (taken,) = order.batch(step)
        name = sources[taken.source].name
        if new := [number for number in taken.rows.tolist() if (name, number) not in kept]:
            for number, row in zip(new, pairs.read(name, new), strict=True):
                kept[name, number] = with_negatives(row, hard_negatives)
        return [kept[name, number] for number in taken.rows.tolist()]

    return draw


def fit(
    model: PartsModel,
    images: Images,
    draw: Draw,
    recipe: Recipe,
    label: str,
    *,
    progress: bool = True,
    tell: Callable[[float], None] | None = None,
) -> tuple[int, float]:
    """Train `model` in place.

    Args:
        model: what it is made of has to be drawn already.
        images: of the rows.
        draw: the rows of a step.
        recipe: how long and how.
        label: of its bar.
        progress: show the bar.
        tell: called after each step with the share that is done.

    Returns:
        The steps that it took and the loss over the last of them.
    """
    log_scale = nn.Parameter(torch.tensor(-math.log(recipe.temperature)))
    parameters = [*model.parameters(), log_scale]
    matrices, vectors = ([p for p in parameters if (p.ndim > 1) == wide] for wide in (True, False))
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))
    budget, spent, step, recent = recipe.steps or recipe.flops, 0.0, 0, math.nan
    model.train()
    with Progress(disable=not progress) as bar:
        task = bar.add_task(label, total=budget)
        while spent < budget:
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * _share(spent / budget)
            optimizer.zero_grad()
            counter = FlopCounterMode(display=False) if recipe.flops else None
            with counter or nullcontext():
                loss = contrast(model, images, draw(step), log_scale.exp(), recipe.forms[step % len(recipe.forms)])
                loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            with torch.no_grad():
                log_scale.clamp_(0, math.log(100))
            step, spent = step + 1, spent + (counter.get_total_flops() if counter else 1)
            recent = float(loss.detach()) if step == 1 else 0.9 * recent + 0.1 * float(loss.detach())
            bar.update(task, completed=spent)
            if tell is not None:
                tell(min(1.0, spent / budget))
    model.eval()
    return step, recent


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
        known = [keys_of_negatives(row) for row in rows]
        padded = [[*map(number_of, own), *[0] * (width - len(own))] for own in known]  # what stands for none is not present
        negatives = HardNegatives(torch.stack(others, dim=1), torch.tensor(padded), present)
    return truthful_nce(query, target, scale, _truth(rows), negatives, both_directions=True)


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


def _share(done: float) -> float:
    """Of the highest learning rate, when this share of the training is done."""
    if done < _WARM_UP:
        return max(done / _WARM_UP, 0.05)
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))
