"""Checkpoints of a running training: weights, optimiser and averages as safetensors, the step as JSON. No pickle.

A checkpoint is a folder `checkpoints/step-00001000`; it appears under that name only when whole, and carries the SHA-256 of its tensors.
Data order and random numbers are functions of (seed, step), so the step is all that is needed to go on exactly where the run stopped.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from geolangbind.checkpoint import atomic_folder, file_sha256
from geolangbind.errors import CheckpointError
from geolangbind.train.sharding import gathered, local, placed_like


@dataclass(frozen=True)
class Kept:
    """Which checkpoints stay.

    Attributes:
        last: number of newest ones.
        best: also the one with the "lowest" or the "highest" score; empty keeps none for its score.
    """

    last: int = 2
    best: str = ""


def save_state(
    run_dir: Path,
    step: int,
    module: nn.Module,
    optimizer: Optimizer,
    average: Mapping[str, Tensor],
    notes: Mapping[str, Any],
    kept: Kept,
    lead: bool = True,
) -> None:
    """Write the checkpoint after `step` steps, to disk before anything older is deleted. All processes call this together.

    Args:
        run_dir: of the run.
        step: optimiser steps done.
        module: what is trained.
        optimizer: its optimiser.
        average: running averages of weights by name, or empty.
        notes: JSON values to keep beside (seen words); `score` decides which checkpoint is the best.
        kept: which checkpoints stay.
        lead: this process writes; others only give their parts of split weights.
    """
    left_out = _frozen_elsewhere(module)
    tensors = {f"module/{name}": value for name, value in module.state_dict().items() if name not in left_out}
    tensors |= {f"average/{name}": value for name, value in average.items()}
    for name, state in _optimizer_rows(module, optimizer).items():
        tensors |= {f"optimizer/{name}/{key}": torch.as_tensor(value) for key, value in state.items()}
    tensors = gathered(tensors, lead)
    if not lead:
        return
    folder = run_dir / "checkpoints" / f"step-{step:08d}"
    with atomic_folder(folder) as part:
        save_file(tensors, part / "state.safetensors")
        told = {"step": step, "sha256": file_sha256(part / "state.safetensors"), **notes}
        (part / "state.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
    prune(run_dir, kept)


def newest_state(run_dir: Path) -> Path | None:
    """The newest checkpoint of a run, or None."""
    found = _states(run_dir)
    return found[-1] if found else None


def restore_state(
    run_dir: Path, module: nn.Module, optimizer: Optimizer, lead: bool = True
) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Restore the newest whole checkpoint in place. Damaged ones are set aside as `damaged-step-...`, with one warning.

    Args:
        run_dir: of the run.
        module: what is trained.
        optimizer: over its parameters.
        lead: this process tidies up and warns; others only read.

    Returns:
        What `state.json` says (`step` and notes) and the running averages; None when there is no checkpoint at all.

    Raises:
        CheckpointError: every checkpoint is damaged, or the newest whole one is of another model.
    """
    if lead:
        sweep(run_dir)
    damaged: list[tuple[Path, str]] = []
    for folder in reversed(_states(run_dir)):
        try:
            told, tensors = _read(folder)
        except CheckpointError as error:
            damaged.append((folder, str(error)))
            continue
        if damaged and lead:
            for broken, _ in damaged:
                aside = broken.with_name(f"damaged-{broken.name}")
                shutil.rmtree(aside, ignore_errors=True)
                broken.rename(aside)
            told_why = "; ".join(reason for _, reason in damaged)
            warnings.warn(f"{told_why}; going back to {folder.name}, the damaged is set aside as damaged-*", stacklevel=2)
        return told, _apply(folder, tensors, module, optimizer)
    if damaged:
        reasons = "; ".join(reason for _, reason in damaged)
        raise CheckpointError(f"{reasons}; no whole checkpoint is left, delete {run_dir / 'checkpoints'} to start anew")
    return None


def sweep(run_dir: Path) -> None:
    """Delete what a killed process left under temporary names in the run folder and its checkpoints."""
    for place in (run_dir, run_dir / "checkpoints"):
        for left in (*place.glob(".*.part"), *place.glob(".*.old")):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _states(run_dir: Path) -> list[Path]:
    return sorted((run_dir / "checkpoints").glob("step-*"))


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        told: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        int(told["step"])
        if told.get("sha256", "") not in ("", file_sha256(folder / "state.safetensors")):
            raise ValueError("state.safetensors is not what was written (SHA-256 differs)")
        return told, load_file(folder / "state.safetensors")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"cannot continue from {folder}: {str(error).splitlines()[0]}") from None


def _apply(folder: Path, tensors: Mapping[str, Tensor], module: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    try:
        own, found = module.state_dict(), {n.removeprefix("module/"): value for n, value in tensors.items() if n.startswith("module/")}
        found |= {name: own[name] for name in _frozen_elsewhere(module) - found.keys()}
        module.load_state_dict({name: placed_like(value, own[name]) if name in own else value for name, value in found.items()})
        weights = dict(module.named_parameters())
        rows = _optimizer_rows(module, optimizer, create=True)
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                parameter, key = name.removeprefix("optimizer/").rsplit("/", 1)
                # a state of one number (the count of steps) is whole on every process
                place = local(weights[parameter]) if value.ndim == 0 else weights[parameter]
                rows[parameter][key] = placed_like(value.clone(), place)
        average = {name.removeprefix("average/"): value for name, value in tensors.items() if name.startswith("average/")}
        return {name: placed_like(value, weights[name]) for name, value in average.items()}
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"cannot continue from {folder}, it is of another model or other teachers: {str(error).splitlines()[0]} "
            "Start with the settings it was made with, or give another run_dir"
        ) from None


def _frozen_elsewhere(module: nn.Module) -> set[str]:
    """Weights that a checkpoint does not hold, see `Task.frozen_elsewhere`."""
    if not getattr(module, "frozen_elsewhere", False):
        return set()
    return {name for name, parameter in module.named_parameters() if not parameter.requires_grad}


def _optimizer_rows(module: nn.Module, optimizer: Optimizer, create: bool = False) -> dict[str, dict[str, Any]]:
    """The optimiser's state by parameter name instead of by position."""
    rows = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and (create or parameter in optimizer.state):
            rows[name] = optimizer.state[parameter]
    return rows


def prune(run_dir: Path, kept: Kept) -> None:
    """Delete the checkpoints that do not stay. A restart does so too: a kill may have come between the last checkpoint and this."""
    found = _states(run_dir)
    stay = set(found[-kept.last :])
    scores = {folder: score for folder in found if (score := _score(folder)) is not None} if kept.best else {}
    if scores:
        sign = 1 if kept.best == "lowest" else -1
        stay.add(min(reversed(scores), key=lambda folder: sign * scores[folder]))
    for old in found:
        if old not in stay:
            # renamed first: a kill in the middle of deleting leaves nothing that looks like a checkpoint
            shutil.rmtree(old.rename(old.with_name(f".{old.name}.old")))


def _score(folder: Path) -> float | None:
    try:
        score = json.loads((folder / "state.json").read_text(encoding="utf-8")).get("score")
    except (OSError, ValueError, AttributeError):
        return None
    return float(score) if isinstance(score, int | float) else None
