"""The training loop: batch, losses, step, log, checkpoint. Everything random is a function of (seed, step)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from geolangbind.train.borders import Measurer, StepBatch, Task
from geolangbind.train.distributed import processes, united
from geolangbind.train.ema import start_average, update_average
from geolangbind.train.guard import clip_gradients, stop_if_not_finite
from geolangbind.train.log import Log
from geolangbind.train.optim import learning_rate
from geolangbind.train.progress import ProgressBar
from geolangbind.train.run_settings import RunSettings
from geolangbind.train.sharding import average_whole
from geolangbind.train.state import Kept, save_state

if TYPE_CHECKING:
    from lightning.fabric import Fabric
    from torch.optim import Optimizer


PREFIX = "validation/"
"""What `best_metric` begins with when it names a column of validation.jsonl."""


@dataclass
class Progressed:
    """Where a run stands: steps done, the running averages of its weights (empty when none are kept), bad samples that were replaced."""

    step: int
    average: dict[str, Tensor]
    skipped: set[str] = field(default_factory=set)


def fit(
    module: Any,  # noqa: ANN401 - Fabric's wrappers have no public types
    optimizer: Optimizer,
    batches: Iterator[StepBatch],
    fabric: Fabric,
    settings: RunSettings,
    state: Progressed,
    validator: Measurer | None = None,
) -> None:
    """Train from `state.step` to `settings.steps`, in place.

    Args:
        module: the task, as `fabric.setup_module` returns it.
        optimizer: over its parameters.
        batches: this rank's batches from `state.step` on.
        fabric: devices, precision, processes.
        settings: of the run.
        state: updated as steps are done.
        validator: measures on the way, or None.

    Raises:
        DataError: a loss or the gradient is not finite, see `guard`. Nothing of that step is applied.
    """
    run_dir = Path(settings.run_dir)
    task: Task = module.module
    wrapped = fabric.setup_optimizers(optimizer)
    module.train()
    trained = [parameter for parameter in task.parameters() if parameter.requires_grad]
    if settings.ema_decay and not state.average:
        state.average = start_average(task)
    kept, scores, lead = what_stays(settings), list[float](), fabric.is_global_zero
    with Log(run_dir, state.step, lead) as log, ProgressBar(settings, state.step, lead) as progress:
        waited = time.perf_counter()
        for batch in batches:
            began = time.perf_counter()
            rate = learning_rate(state.step, settings.steps, settings.optim)
            for group in wrapped.param_groups:
                group["lr"] = rate * group["lr_scale"]
            losses = _step(module, wrapped, fabric.to_device(batch), trained, settings, state.step, fabric)
            task.clamp_temperature()
            state.step += 1
            if settings.ema_decay:
                update_average(state.average, task, state.step, settings.ema_decay)
            ended = time.perf_counter()
            row = {"step": state.step, **batch.origin, **losses, "lr": rate}
            row |= {"samples_per_s": settings.batch_size / (ended - waited), "data_wait": (began - waited) / (ended - waited)}
            if batch.skipped:
                row["skipped"] = len(batch.skipped)
                state.skipped |= set(map(str, batch.skipped))
            log.write(row)
            scores += [losses[settings.best_metric]] if settings.best_metric in losses else []
            progress.update(row)
            if validator is not None and validator.due(state.step):
                found = validator.measure(task, state.average, state.step, fabric)
                log.write_validation(found)
                scores = [score for score in (validation_score(found, settings.best_metric),) if score is not None] or scores
            if state.step % settings.checkpoint_every == 0 or state.step == settings.steps:
                log.flush()
                notes = task.notes()
                notes |= {"score": sum(scores) / len(scores)} if scores else {}
                if (group := processes()) is not None:
                    state.skipped = united(state.skipped, fabric.device, group)
                notes |= {"skipped": sorted(state.skipped)} if state.skipped else {}
                scores.clear()  # a score is of the steps since the last checkpoint, so that an interruption cannot change it
                save_state(run_dir, state.step, task, optimizer, state.average, notes, kept, lead)
            waited = time.perf_counter()  # neither validation nor a checkpoint is waiting for data


def what_stays(settings: RunSettings) -> Kept:
    """Which checkpoints of a run stay."""
    return Kept(settings.keep_checkpoints, settings.best_is if settings.best_metric else "")


def _step(
    module: Any,  # noqa: ANN401
    optimizer: Any,  # noqa: ANN401
    batch: StepBatch,
    trained: list[torch.nn.Parameter],
    settings: RunSettings,
    step: int,
    fabric: Fabric,
) -> dict[str, float]:
    torch.manual_seed((settings.seed * 1_000_003 + step) * 4099 + fabric.global_rank)
    with short_attention(fabric.device):
        # alike on all processes, which draw for the whole batch and take their part
        losses = module(lambda: batch, torch.Generator().manual_seed(torch.initial_seed() - fabric.global_rank))
    optimizer.zero_grad(set_to_none=True)
    with short_attention(fabric.device):
        fabric.backward(losses["loss"])
    average_whole(trained)
    values = {name: float(value.detach()) for name, value in losses.items()}
    norm = clip_gradients(trained, settings.optim.clip_norm)
    # a loss scaler skips steps whose scaled gradient overflows, and lowers its scale: there only the loss counts
    told = norm if settings.machine.precision != "16-mixed" else 0.0
    stop_if_not_finite(values, told, batch, step + 1, Path(settings.run_dir), fabric)
    optimizer.step()
    return {**values, "gradient_norm": norm}


def short_attention(device: torch.device) -> AbstractContextManager[None]:
    """On a CPU, plain matrix products: the backward pass of its fused attention takes 40 % of a step at a few dozen tokens."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def validation_score(rows: Sequence[Mapping[str, Any]], metric: str) -> float | None:
    """Mean over rows of the column of `validation.jsonl` that `best_metric` names, or None where it names none of these."""
    values = [row[column] for row in rows if (column := metric.removeprefix(PREFIX)) in row] if metric.startswith(PREFIX) else []
    return sum(values) / len(values) if values else None
