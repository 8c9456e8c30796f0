"""Checkpoints of a running training: weights, optimiser and averages as safetensors, the step as JSON. No pickle.

A checkpoint is a folder `checkpoints/step-00001000`; it appears under that name only when whole. Data order and random numbers are
functions of (seed, step), so the step is all that is needed to go on exactly where the run stopped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from geolangbind.checkpoint import atomic_folder
from geolangbind.errors import CheckpointError


def save_state(
    run_dir: Path, step: int, module: nn.Module, optimizer: Optimizer, average: Mapping[str, Tensor], notes: Mapping[str, Any], keep: int
) -> None:
    """Write the checkpoint after `step` steps and delete all but the newest `keep`.

    Args:
        run_dir: of the run.
        step: optimiser steps done.
        module: what is trained.
        optimizer: its optimiser.
        average: running averages of weights by name, or empty.
        notes: JSON values to keep beside (seen words, fingerprints).
        keep: checkpoints to keep.
    """
    tensors = {f"module/{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"average/{name}": value for name, value in average.items()}
    for name, state in _optimizer_rows(module, optimizer).items():
        tensors |= {f"optimizer/{name}/{key}": torch.as_tensor(value) for key, value in state.items()}
    with atomic_folder(run_dir / "checkpoints" / f"step-{step:08d}") as part:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, part / "state.safetensors")
        (part / "state.json").write_text(json.dumps({"step": step, **notes}) + "\n", encoding="utf-8")
    for old in sorted((run_dir / "checkpoints").glob("step-*"))[:-keep]:
        shutil.rmtree(old)


def newest_state(run_dir: Path) -> Path | None:
    """The newest whole checkpoint of a run, or None."""
    found = sorted((run_dir / "checkpoints").glob("step-*"))
    return found[-1] if found else None


def load_state(folder: Path, module: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Restore a checkpoint in place.

    Returns:
        What `state.json` says (`step` and notes) and the running averages.

    Raises:
        CheckpointError: damaged, or of another model.
    """
    try:
        told: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "state.safetensors")
        module.load_state_dict({name.removeprefix("module/"): value for name, value in tensors.items() if name.startswith("module/")})
        device = {name: parameter.device for name, parameter in module.named_parameters()}
        rows = _optimizer_rows(module, optimizer, create=True)
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                parameter, key = name.removeprefix("optimizer/").rsplit("/", 1)
                rows[parameter][key] = value.clone().to(device[parameter])
        average = {name.removeprefix("average/"): value for name, value in tensors.items() if name.startswith("average/")}
        average = {name: value.to(device[name]) for name, value in average.items()}
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot continue from {folder}: {str(error).splitlines()[0]}; delete it to go back to the one before"
        ) from None
    return told, average


def _optimizer_rows(module: nn.Module, optimizer: Optimizer, create: bool = False) -> dict[str, dict[str, Any]]:
    """The optimiser's state by parameter name instead of by position."""
    rows = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and (create or parameter in optimizer.state):
            rows[name] = optimizer.state[parameter]
    return rows
