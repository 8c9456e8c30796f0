"""A model folder of the interleaved encoder, written in one step and read without running code from it.

config.json           rendering, sizes, backbone, adapters, and the SHA-256 of every file whose content changes a vector
model.safetensors     projector, region and place tokens; the backbone too where it was trained whole or drawn at random, with its own tower
adapter.safetensors   LoRA, where there is any
tower/                a complete model folder of the vision tower: `geolangbind.load` reads it; none where it is Qwen2-VL's own
tokenizer.json, README.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from geolangbind import checkpoint
from geolangbind.checkpoint import CARD, CONFIG, TOKENIZER, WEIGHTS, file_sha256
from geolangbind.errors import CheckpointError, SettingsError
from geolangbind.interleaved.backbone import Backbone, build_backbone
from geolangbind.interleaved.encoder import InterleavedEncoder
from geolangbind.interleaved.lora import LoraSettings, add_lora, is_adapter
from geolangbind.interleaved.render import Rendering
from geolangbind.interleaved.vocabulary import vocabulary_from_json
from geolangbind.model import GeoLangBind, load_folder
from geolangbind.models.eye import QwenTower
from geolangbind.models.interleaved import InterleavedConfig
from geolangbind.weights.read import read_weights
from geolangbind.weights.source import HUB

FORMAT, FORMAT_VERSION = "geolangbind-interleaved", 1
ADAPTER, TOWER = "adapter.safetensors", "tower"


def save_interleaved(encoder: InterleavedEncoder, folder: str | Path) -> Path:
    """Write a model folder; replaces one that exists.

    Base weights that came from elsewhere and carry adapters are not copied: `load_interleaved` needs them again.

    Returns:
        The folder.

    Raises:
        SettingsError: within `lora.merged_lora`, where the weights hold the adapters' changes already.
    """
    if any(getattr(layer, "merged", False) for layer in encoder.backbone.modules()):
        raise SettingsError("save the model outside of merged_lora: its adapters would count twice")
    lora, spec = encoder.backbone.lora, encoder.backbone.spec
    tensors = _own_tensors(encoder)
    adapter = {name: tensor for name, tensor in tensors.items() if is_adapter(name)}
    rest = {name: tensor for name, tensor in tensors.items() if name not in adapter}
    with checkpoint.atomic_folder(Path(folder)) as part:
        own = isinstance(encoder.tower, GeoLangBind)
        if isinstance(encoder.tower, GeoLangBind):
            encoder.tower.save(part / TOWER, heads=False)
        metadata = {"format": "pt"}
        checkpoint.save_tensors(part / WEIGHTS, rest, metadata)
        if adapter:
            checkpoint.save_tensors(part / ADAPTER, adapter, metadata)
        (part / TOKENIZER).write_text(encoder.vocabulary.to_json(), encoding="utf-8")
        names = [*[f"{TOWER}/{CONFIG}", f"{TOWER}/{WEIGHTS}"] * own, WEIGHTS, *[ADAPTER] * bool(adapter)]
        config = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "rendering": asdict(encoder.rendering),
            "model": asdict(encoder.model.config),
            "backbone": spec.to_json(),
            "lora": None if lora is None else lora.to_json(),
            "vocabulary": encoder.vocabulary.settings(),
            "files": {name: file_sha256(part / name) for name in names},
            "provenance": encoder.provenance,
        }
        (part / CONFIG).write_text(dumps(config, indent=1) + "\n", encoding="utf-8")
        (part / CARD).write_text(_card(config, encoder), encoding="utf-8")
    return Path(folder)


def load_interleaved(source: str | Path, base: str | Path | None = None) -> InterleavedEncoder:
    """Load an interleaved encoder, in inference mode.

    Args:
        source: its folder, or a run folder with one in `model/`.
        base: where the backbone's base weights are now, if not where they were in training: a folder or `hf-hub:owner/name`.

    Raises:
        CheckpointError: there is none, a file or the base is not the one it was trained with, or tensors do not fit.
    """
    folder = checkpoint.find_model(source)
    config = checkpoint.read_config(folder, FORMAT, FORMAT_VERSION)
    try:
        spec = Backbone.from_json(config["backbone"])
        lora = None if config["lora"] is None else LoraSettings.from_json(config["lora"])
        sizes = InterleavedConfig(**{**config["model"], "dims": tuple(config["model"]["dims"])})
        rendering = Rendering.from_dict(config["rendering"])
        files, provenance = dict(config["files"]), dict(config["provenance"])
        vocabulary = vocabulary_from_json((folder / TOKENIZER).read_text(encoding="utf-8"), config["vocabulary"])
    except OSError as error:
        raise CheckpointError(f"model folder is incomplete: {error}") from None
    except (KeyError, TypeError, ValueError, SettingsError) as error:
        raise CheckpointError(f"{folder / CONFIG} is incomplete or damaged: {error!r}") from None
    _check_files(folder, files)
    stored = _stores_backbone(spec, lora)
    if stored and base is not None:
        raise CheckpointError(f"{folder} holds its backbone whole; leave base= out")
    with torch.random.fork_rng(devices=[]):  # what is drawn here is overwritten
        backbone = build_backbone(spec, base, empty=stored)
        if lora is not None:
            add_lora(backbone, lora)
        tower = backbone.take_vision() if spec.vision else load_folder(folder / TOWER)
        encoder = InterleavedEncoder.create(tower, backbone, vocabulary, rendering, sizes)
    encoder.provenance = provenance
    given = read_weights(folder / WEIGHTS) | ({} if lora is None else read_weights(folder / ADAPTER))
    if table := checkpoint.mismatch_table(_own_tensors(encoder), given):
        raise CheckpointError(f"weights of {folder} and its {CONFIG} do not fit, {table}")
    encoder.model.load_state_dict(given, strict=False)  # our tower and a base from elsewhere have theirs
    return encoder


def _stores_backbone(spec: Backbone, lora: LoraSettings | None) -> bool:
    return lora is None or spec.source is None


def _own_tensors(encoder: InterleavedEncoder) -> dict[str, Tensor]:
    """What the folder itself stores: all but our tower, and but a base that can be had elsewhere, to which Qwen2-VL's own tower belongs."""
    spec, whole = encoder.backbone.spec, _stores_backbone(encoder.backbone.spec, encoder.backbone.lora)
    elsewhere = tuple([] if whole else ["backbone."]) + tuple([] if whole and spec.vision else ["tower."])
    return {name: tensor for name, tensor in encoder.model.state_dict().items() if is_adapter(name) or not name.startswith(elsewhere)}


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    if outside := [name for name in files if ".." in Path(name).parts or Path(name).is_absolute()]:
        raise CheckpointError(f"{folder / CONFIG} names files outside its folder: {', '.join(outside)}")
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"model folder is incomplete: {path} does not exist")
        if file_sha256(path) != expected:
            raise CheckpointError(
                f"{path} is not the file that this model was saved with (its SHA-256 differs); its parts only work together"
            )


def _seen_by(tower: GeoLangBind | QwenTower) -> str:
    if isinstance(tower, QwenTower):
        return "the backbone's own; sees red, green and blue"
    return f"trained on {', '.join(sorted(tower.trained_sensors)) or 'sensors not recorded'}; see `{TOWER}/{CARD}`"


def _card(config: Mapping[str, Any], encoder: InterleavedEncoder) -> str:
    """The model card: what config.json says, for people and for the hub."""
    spec, lora = encoder.backbone.spec, encoder.backbone.lora
    header: dict[str, Any] = {
        "library_name": "geolangbind",
        "pipeline_tag": "feature-extraction",
        "tags": ["earth-observation", "remote-sensing", "multimodal-embedding"],
    }
    if spec.source is not None and spec.source.startswith(HUB):
        header["base_model"] = spec.source.removeprefix(HUB).split("@")[0]
    adapted = "trained whole" if lora is None else f"LoRA of rank {lora.r}"
    told = [
        f"Backbone: {spec.kind}, {spec.config['model_type']} of width {spec.hidden}, {adapted}, from {spec.source or 'random weights'}.",
        f"Sequences: written as {encoder.rendering.serializer}, at most {encoder.rendering.max_length} tokens.",
        f"Vision tower: {_seen_by(encoder.tower)}.",
        *(f"{key}: {value if isinstance(value, str) else dumps(value, ensure_ascii=False)}." for key, value in encoder.provenance.items()),
    ]
    if not _stores_backbone(spec, lora):
        told.append(f"The base weights are not in this folder (SHA-256 {spec.sha256}); `base=` says where they are.")
    usage = (
        "```python\nimport geolangbind\nfrom geolangbind import Image, PixelBox\n\n"
        'encoder = geolangbind.load_interleaved("FOLDER")\n'
        'encoder.embed([[Image("scene.tif"), "What is in", PixelBox(3, 4, 20, 30)]], instruction="...")\n```'
    )
    title = "# An interleaved geolangbind encoder\n\nImages, words, boxes, places and dates in one sequence, one unit vector out."
    listed = "\n".join(f"- {line}" for line in told)
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n{title}\n\n## Load it\n\n{usage}\n\n## What it is\n\n{listed}\n"
