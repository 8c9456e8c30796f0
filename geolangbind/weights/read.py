"""Tensors out of any weights file, without running code from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from geolangbind.errors import CheckpointError

_WRAPPERS = ("state_dict", "model", "module", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.")  # DistributedDataParallel, torch.compile


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint by name, in the dtype they are stored in.

    Training checkpoints are unwrapped (the tensors under `state_dict` or `model`), prefixes of wrappers are taken off.

    Args:
        path: a safetensors file, the `.index.json` of a sharded one, or a PyTorch file (`.bin`, `.pt`, `.pth`, `.ckpt`), which is read by
            PyTorch's restricted unpickler: tensors and plain containers only.

    Raises:
        CheckpointError: the file is damaged, holds other objects, or no tensors.
    """
    try:
        if path.name.endswith(".index.json"):
            state: Any = _read_shards(path)
        elif path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = _read_torch(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from None
    for name in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            state = state[name]
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{path} holds no tensors by name")
    if wrong := [str(key) for key, value in state.items() if not isinstance(value, Tensor)]:
        raise CheckpointError(f"{path} is no state dict: entries {', '.join(wrong[:5])} are not tensors")
    tensors: dict[str, Tensor] = dict(state)
    for prefix in _PREFIXES * 2:  # either may wrap the other
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _read_shards(path: Path) -> dict[str, Tensor]:
    try:
        places: Mapping[str, str] = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(places.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"cannot read {path}: {error!r}") from None
    if outside := [name for name in files if Path(name).name != name]:
        raise CheckpointError(f"{path} names files outside its folder: {', '.join(outside)}")
    shards = {name: read_weights(path.parent / name) for name in files}
    if missing := [key for key, name in places.items() if key not in shards[name]]:
        raise CheckpointError(f"{path}: tensors {', '.join(missing[:5])} are not in the files it names")
    return {key: shards[name][key] for key, name in places.items()}


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except UnpicklingError as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{path} holds more than tensors, and reading it could run code ({reason}). "
            "Have someone who trusts it convert it to safetensors"
        ) from None
    except (RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from None


def _is_zip(path: Path) -> bool:
    """PyTorch's format since 1.6; older files cannot be mapped into memory."""
    with path.open("rb") as stream:
        return stream.read(2) == b"PK"
