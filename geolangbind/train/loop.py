"""The training loop: batch, losses, step, log, checkpoint. Everything random is a function of (seed, step)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from geolangbind.checkpoint import atomic_path
from geolangbind.data.batch import Batch
from geolangbind.train.ema import start_average, update_average
from geolangbind.train.guard import clip_gradients, stop_if_not_finite
from geolangbind.train.optim import learning_rate
from geolangbind.train.settings import TrainSettings
from geolangbind.train.state import Kept, save_state

if TYPE_CHECKING:
    from lightning.fabric import Fabric
    from torch.optim import Optimizer

    from geolangbind.train.tasks import AlignmentTask


@dataclass
class Progressed:
    """Where a run stands: steps done and the running averages of its weights (empty when none are kept)."""

    step: int
    average: dict[str, Tensor]


def fit(
    task: AlignmentTask, optimizer: Optimizer, batches: Iterator[Batch], fabric: Fabric, settings: TrainSettings, state: Progressed
) -> None:
    """Train from `state.step` to `settings.steps`, in place.

    Args:
        task: the task itself; it is wrapped for the devices here.
        optimizer: over its parameters.
        batches: this rank's batches from `state.step` on.
        fabric: devices, precision, processes.
        settings: of the run.
        state: updated as steps are done.

    Raises:
        DataError: a loss or the gradient is not finite, see `guard`. Nothing of that step is applied.
    """
    run_dir = Path(settings.run_dir)
    module, wrapped = fabric.setup(task, optimizer)
    module.train()
    trained = [parameter for parameter in task.parameters() if parameter.requires_grad]
    if settings.ema_decay and not state.average:
        state.average = start_average(task)
    kept, scores = what_stays(settings), list[float]()
    with _Log(run_dir, state.step, fabric.is_global_zero) as log, _bar(settings, fabric) as progress:
        bar = progress.add_task(f"{settings.sensor_group.name:>6}", total=settings.steps, completed=state.step, loss="", rate="")
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
            row = {"step": state.step, "sensor": batch.sensor, "modality": batch.modality, **losses, "lr": rate}
            row |= {"samples_per_s": settings.batch_size / (ended - waited), "data_wait": (began - waited) / (ended - waited)}
            log.write(row)
            scores += [losses[settings.best_metric]] if settings.best_metric in losses else []
            progress.update(bar, completed=state.step, loss=f"loss {losses['loss']:.3f}", rate=f"{row['samples_per_s']:.0f}/s")
            if (state.step % settings.checkpoint_every == 0 or state.step == settings.steps) and fabric.is_global_zero:
                log.flush()
                notes: dict[str, Any] = {"seen_words": sorted(task.seen_words)}
                notes |= {"score": sum(scores) / len(scores)} if scores else {}
                scores.clear()  # a score is of the steps since the last checkpoint, so that an interruption cannot change it
                save_state(run_dir, state.step, task, optimizer, state.average, notes, kept)
            waited = ended


def what_stays(settings: TrainSettings) -> Kept:
    """Which checkpoints of a run stay."""
    return Kept(settings.keep_checkpoints, settings.best_is if settings.best_metric else "")


def _step(
    module: Any,  # noqa: ANN401 - Fabric's wrappers have no public types
    optimizer: Any,  # noqa: ANN401
    batch: Batch,
    trained: list[torch.nn.Parameter],
    settings: TrainSettings,
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


def _bar(settings: TrainSettings, fabric: Fabric) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tail = (TextColumn("{task.fields[loss]}"), TextColumn("{task.fields[rate]}"))
    return Progress(*columns, *tail, disable=not (settings.progress and fabric.is_global_zero))


class _Log:
    """`metrics.jsonl` (one row per step) and TensorBoard events; rows beyond the resumed step are dropped."""

    def __init__(self, run_dir: Path, step: int, active: bool) -> None:
        self.path, self.step, self.active = run_dir / "metrics.jsonl", step, active

    def __enter__(self) -> _Log:
        if self.active:
            from torch.utils.tensorboard.writer import SummaryWriter

            rows = kept_rows(self.path.read_text(encoding="utf-8", errors="replace"), self.step) if self.path.exists() else []
            with atomic_path(self.path) as part:
                part.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
            self.stream = self.path.open("a", encoding="utf-8")
            self.board = SummaryWriter(str(self.path.parent / "tensorboard"), purge_step=self.step + 1)
        return self

    def __exit__(self, *failure: object) -> None:
        if self.active:
            self.stream.close()
            self.board.close()

    def write(self, row: dict[str, Any]) -> None:
        if self.active:
            self.stream.write(json.dumps({name: round(v, 6) if isinstance(v, float) else v for name, v in row.items()}) + "\n")
            for name, value in row.items():
                if isinstance(value, float):
                    self.board.add_scalar(
                        f"{row['modality']}/{name}" if "/" in name or name in ("loss", "contrastive") else name, value, row["step"]
                    )

    def flush(self) -> None:
        """Bring all rows to disk; called before a checkpoint, which must never know of more steps than the log."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.board.flush()


def kept_rows(text: str, step: int) -> list[str]:
    """Lines of `metrics.jsonl` up to step `step`, each step once and in order; rows beyond it and half-written ones are left out."""
    rows: list[str] = []
    for line in text.splitlines():
        try:
            number = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError):
            continue
        if number == len(rows) + 1 <= step:
            rows.append(line)
    return rows
