"""Small models on disk, made with the reference library."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

CONFIG: dict[str, Any] = {
    "format": "geolangbind-model",
    "format_version": 1,
    "architecture": {"vision": {"width": 4, "depth": 1}, "text": {"width": 4}},
    "channel_code": {"version": 1},
    "statistics": {"kinds": {"display": {"mean": 0.4, "std": 0.2}}, "bands": {"aerial-rgb": {"R": [0.4, 0.2]}}},
    "preprocessing": {"image_size": 64},
    "tokenizer": {"name": "clip", "sha256": "00"},
    "trained_sensors": ["aerial-rgb"],
    "trained_words": ["forest", "lake"],
    "parents": [],
    "provenance": {"tool": "geolangbind-train"},
}

SHAPES = {
    "vision.patch_embed.weight": (3, 5),
    "vision.blocks.0.weight": (4, 4),
    "vision.attn_pool.probe": (1, 4),
    "text.weight": (6, 2),
    "logit_scale": (),
}


def make_tensors(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    made = {key: np.asarray(random.normal(size=shape), np.float32) for key, shape in SHAPES.items()}
    made["text.weight"] = np.full((6, 2), 1 / 3, np.float32)  # the text tower is frozen: equal in all models
    return made


Write = Callable[..., Path]


@pytest.fixture
def tensors() -> Callable[[int], dict[str, np.ndarray]]:
    """Weights drawn from a seed; only the text tower is the same for every seed."""
    return make_tensors


@pytest.fixture
def plain_config() -> dict[str, Any]:
    """The configuration of every model unless changed."""
    return copy.deepcopy(CONFIG)


@pytest.fixture
def write_model(tmp_path: Path) -> Write:
    """Write a run folder with a model; `config` is a function that changes the configuration."""

    def write(
        name: str,
        weights: dict[str, np.ndarray],
        *,
        config: Callable[[dict[str, Any]], object] | None = None,
        tokenizer: bytes = b"{}",
    ) -> Path:
        folder = tmp_path / "runs" / name / "model"
        folder.mkdir(parents=True)
        save_file(weights, folder / "model.safetensors")
        settings = copy.deepcopy(CONFIG)
        if config is not None:
            config(settings)
        (folder / "config.json").write_text(json.dumps(settings))
        (folder / "tokenizer.json").write_bytes(tokenizer)
        return folder.parent

    return write


@pytest.fixture
def trio(write_model: Write) -> tuple[Path, Path, Path]:
    """Run folders base, rgb, others."""
    base, rgb, others = (write_model(name, make_tensors(seed)) for seed, name in enumerate(("base", "rgb", "others")))
    return base, rgb, others


@pytest.fixture
def write_backwards() -> Callable[[Path, dict[str, np.ndarray]], Path]:
    """`write_backwards(path, weights)`: a file with its keys in reverse order, by hand, for the library sorts them."""

    def write(path: Path, weights: dict[str, np.ndarray]) -> Path:
        header, data = {}, b""
        for key in sorted(weights, reverse=True):
            content = weights[key].tobytes()
            header[key] = {"dtype": "F32", "shape": list(weights[key].shape), "data_offsets": [len(data), len(data) + len(content)]}
            data += content
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)
        return path

    return write
