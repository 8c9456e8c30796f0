"""Stops a run before a loss or a gradient that is not finite reaches the weights, and says which samples it came from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from geolangbind.checkpoint import atomic_path
from geolangbind.errors import DataError
from geolangbind.train.borders import StepBatch
from geolangbind.train.sharding import split
from geolangbind.train.state import newest_state

if TYPE_CHECKING:
    from lightning.fabric import Fabric

_NAMED_KEYS = 8


def clip_gradients(trained: Sequence[nn.Parameter], largest: float) -> float:
    """Scale gradients in place so that their norm over all parameters is at most `largest`; 0 leaves them as they are.

    Returns:
        The norm before; gradients that are not finite are left for `stop_if_not_finite` to refuse.
    """
    kinds = split([parameter.grad for parameter in trained if parameter.grad is not None])
    norms: list[Tensor] = [get_total_norm(gradients) for gradients in kinds]
    norms = [norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in norms]
    norm = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())
    if largest and bool(torch.isfinite(norm)):
        for parameters in split(trained):
            clip_grads_with_norm_(parameters, largest, norm)
    return float(norm)


def stop_if_not_finite(
    losses: Mapping[str, float], gradient_norm: float, batch: StepBatch, step: int, run_dir: Path, fabric: Fabric
) -> None:
    """Refuse a step whose losses or gradient norm are NaN or infinite, on every process at once. Call it before the optimiser's step.

    The whole list of sample keys is left in `run_dir/not_finite.rank0.json`.

    Args:
        losses: of this process's part of the batch.
        gradient_norm: over all parameters, before clipping.
        batch: this process's part.
        step: number of the step, from 1.
        run_dir: of the run.
        fabric: processes.

    Raises:
        DataError: here or on another process something is not finite; names step, batch, keys, last checkpoint and the way out.
    """
    wrong = [name for name, value in {**losses, "gradient norm": gradient_norm}.items() if not math.isfinite(value)]
    if fabric.world_size > 1 and not wrong:
        # a process that stopped alone would leave the others waiting for its part of the next sum
        if float(fabric.all_reduce(torch.zeros((), device=fabric.device), reduce_op="sum")) == 0:
            return
        raise DataError(f"step {step}: another process met a loss or gradient that is not finite and says where; nothing was applied")
    if not wrong:
        return
    if fabric.world_size > 1:
        fabric.all_reduce(torch.ones((), device=fabric.device), reduce_op="sum")
    listing = run_dir / f"not_finite.rank{fabric.global_rank}.json"
    values = {name: str(value) for name, value in {**losses, "gradient_norm": gradient_norm}.items()}
    with atomic_path(listing) as part:
        part.write_text(json.dumps({"step": step, **batch.origin, **values, "keys": batch.keys}, indent=1) + "\n", encoding="utf-8")
    more = f" and {len(batch.keys) - _NAMED_KEYS} more in {listing}" if len(batch.keys) > _NAMED_KEYS else ""
    raise DataError(
        f"step {step}: {', '.join(wrong)} not finite ({', '.join(f'{name} {value}' for name, value in values.items())}) on a batch of "
        f"{batch.described} with keys {', '.join(batch.keys[:_NAMED_KEYS])}{more}. Nothing of this step was applied; the last "
        f"good checkpoint is {newest_state(run_dir) or 'none: the first had not been written'}. Look at these samples "
        "(`geolangbind shards verify`), or lower optim.lr, and start the same command again"
    )
