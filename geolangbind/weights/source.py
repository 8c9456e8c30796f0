"""Where a model comes from: a folder, a weights file or the hub, and which of its files matter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geolangbind import checkpoint
from geolangbind.errors import CheckpointError
from geolangbind.weights.bundled import BUNDLED, bundled_folder
from geolangbind.weights.hub import fetch

HUB = "hf-hub:"
OPEN_CLIP_CONFIG = "open_clip_config.json"
_WEIGHTS = ("model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class Source:
    """A checkpoint on disk.

    Attributes:
        name: as the user said it.
        folder: where its files lie.
        weights: the weights file, or the index of a sharded one.
        native: whether the folder is one of ours.
    """

    name: str
    folder: Path
    weights: Path
    native: bool

    def json(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the folder; empty when there is none.

        Raises:
            CheckpointError: the file is damaged.
        """
        path = self.folder / name
        if not path.is_file():
            return {}
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(f"cannot read {path}: {error}") from None
        if not isinstance(data, dict):
            raise CheckpointError(f"{path} holds no JSON object")
        return data


def find_source(source: str | Path) -> Source:
    """Find the files of a checkpoint.

    Args:
        source: `hf-hub:owner/name[@revision]`, a model that comes with the package (`bundled.BUNDLED`), a folder (of ours, of a run, of
            open_clip or timm) or a weights file.

    Raises:
        CheckpointError: nothing there; says where it looked.
    """
    name = str(source)
    if name.startswith(HUB):
        return _in_folder(name, fetch(name))
    if (ours := bundled_folder(name)) is not None:
        return _in_folder(name, ours)
    path = Path(source)
    if path.is_file():
        if path.suffix not in _SUFFIXES:
            raise CheckpointError(f"{path} is no weights file; weights end in {', '.join(_SUFFIXES)}")
        return Source(name, path.parent, path, native=False)
    return _in_folder(name, path)


def _in_folder(name: str, folder: Path) -> Source:
    for place in (folder, folder / "model"):
        config = place / checkpoint.CONFIG
        if config.is_file() and _is_native(config):
            index = place / f"{checkpoint.WEIGHTS}.index.json"
            return Source(name, place, index if index.is_file() else place / checkpoint.WEIGHTS, native=True)
    for weights in _WEIGHTS:
        for path in (folder / weights, folder / f"{weights}.index.json"):
            if path.is_file():
                return Source(name, folder, path, native=False)
    if not folder.exists():
        raise CheckpointError(
            f"no model at '{name}': there is no such folder or file. Give a model or run folder (`make demo` leaves one at "
            f"runs/demo/merged), a weights file, {HUB}owner/name, or {', '.join(BUNDLED)}, which is built in"
        )
    raise CheckpointError(
        f"no model at '{name}': neither a {checkpoint.CONFIG} of this project (looked there and in model/) nor one of {', '.join(_WEIGHTS)}"
    )


def _is_native(config: Path) -> bool:
    """Whether a config.json is ours (timm and transformers use the name too); a damaged one is ours to complain about."""
    try:
        data = json.loads(config.read_text(encoding="utf-8"))
    except ValueError:
        return True
    return not isinstance(data, dict) or "format" in data or not {"architecture", "architectures", "model_type"} & data.keys()
