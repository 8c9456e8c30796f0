"""Load a model from anywhere: our folders, released GeoLangBind checkpoints, SigLIP and SigLIP 2, DOFA, the hub."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geolangbind import checkpoint
from geolangbind.errors import CheckpointError
from geolangbind.model import GeoLangBind, architecture, fill, load_folder
from geolangbind.models import zoo
from geolangbind.models.encoder import VisionConfig, VisionEncoder
from geolangbind.models.start import start_from_convolution
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.models.wavelength import WavelengthPatchEmbed
from geolangbind.statistics import Statistics
from geolangbind.weights import layouts
from geolangbind.weights.conventions import assumptions, published_statistics
from geolangbind.weights.dofa import complete_dofa
from geolangbind.weights.read import read_weights
from geolangbind.weights.source import OPEN_CLIP_CONFIG, Source, find_source
from geolangbind.weights.tokenizers import find_tokenizer

_SEED = 0  # of the part of a kernel generator that SigLIP does not determine: the same file gives the same model


def load(source: str | Path, *, text: str | Path | None = None, strict: bool = True) -> GeoLangBind:
    """Load a model, in inference mode and float32.

    A SigLIP checkpoint has one fixed convolution where a GeoLangBind generates kernels: its generator is solved so that red, green and
    blue give that convolution (`models.start`), and the loaded model is SigLIP on RGB, ready to be trained on other sensors.

    Args:
        source: a model folder or run folder of ours; "planet-tiny", which comes with the package; a folder or file in the layout of the
            released GeoLangBind / DOFA-CLIP checkpoints, of open_clip's SigLIP and SigLIP 2, of timm's SigLIP image towers, or of DOFA;
            or `hf-hub:owner/name[@revision]`. Files end in .safetensors, .bin, .pt or .pth.
        text: where the text tower, tokenizer and logit parameters come from, for image towers that stand alone. Same forms.
        strict: refuse a checkpoint whose tensors are not exactly the model's; False loads what fits and warns with the same table.

    Raises:
        CheckpointError: nothing there, an unknown layout, damaged files, or tensors that do not fit: every one listed.
    """
    found = find_source(source)
    if found.native:
        return load_folder(found.folder)
    state = read_weights(found.weights)
    layout = layouts.layout_of(state, found.name)
    trunk, rest = layouts.trunk_of(state, layout), layouts.rest_of(state) if layout in ("official", "siglip") else {}
    told = found.json(OPEN_CLIP_CONFIG)
    notes: dict[str, Any] = {"imported_from": found.name, "layout": layout, "stored_dtype": _dtype_of(trunk)}
    if rest:
        model = _frame(found, told, trunk)
    else:
        model = _with_text_of(text, found, trunk)
        rest = {key: value for key, value in model.towers.state_dict().items() if not key.startswith(layouts.OURS)}
    vision = _as_ours(trunk, model.vision.config, layout, found.name)
    weights = {**{layouts.OURS + key: value for key, value in vision.items()}, **rest}
    model.heads = {key: weights.pop(key).clone() for key in list(weights) if key.startswith("maka.")}
    fill(model.towers, weights, weights.items(), found.name, strict=strict)
    model.parents = [{"path": found.name, "sha256": checkpoint.file_sha256(found.weights), "role": "imported", "layout": layout}]
    model.provenance = {**model.provenance, **notes, "assumed": assumptions(model.vision.config.kinds)}
    return model.eval()


def load_vision(source: str | Path, *, strict: bool = True) -> VisionEncoder:
    """Load the image tower alone, from a full checkpoint or an image tower, in inference mode and float32.

    Raises:
        CheckpointError: see `load`.
    """
    found = find_source(source)
    if found.native:
        return load_folder(found.folder).vision
    state = read_weights(found.weights)
    layout = layouts.layout_of(state, found.name)
    trunk = layouts.trunk_of(state, layout)
    with torch.device("meta"):
        tower = VisionEncoder(_vision_config(found, found.json(OPEN_CLIP_CONFIG), trunk, layout))
    state = _as_ours(trunk, tower.config, layout, found.name)
    fill(tower, state, state.items(), found.name, strict=strict)
    return tower.eval()


def _frame(found: Source, told: Mapping[str, Any], trunk: Mapping[str, Tensor]) -> GeoLangBind:
    """A model of the right shapes without weights, with tokenizer and statistics."""
    ours = told.get("geolangbind")
    if ours is not None:  # our own export: it brought its configuration along
        vision, text = architecture(ours)
        statistics, gsd_m = Statistics.from_json(ours["statistics"]), tuple(ours["preprocessing"]["gsd_m"])
        known: dict[str, Any] = {"trained_sensors": tuple(ours["trained_sensors"]), "trained_words": frozenset(ours["trained_words"])}
        known |= {"gsd_m": gsd_m, "provenance": dict(ours["provenance"])}
    else:
        vision = _vision_config(found, told, trunk, "")
        text, known = _text_config(found, told, vision), {}
        statistics = published_statistics(vision.kinds)
    tokenizer, missing = find_tokenizer(found, told, text)
    with torch.device("meta"):
        model = GeoLangBind(TwoTower(vision, text), tokenizer, statistics, **known)
    if missing:
        model.provenance["tokenizer_missing"] = missing
    return model


def _with_text_of(text: str | Path | None, found: Source, trunk: Mapping[str, Tensor]) -> GeoLangBind:
    if text is None:
        raise CheckpointError(
            f"{found.name} is an image tower without a text tower; say where the text tower comes from "
            "(load(..., text='hf-hub:timm/ViT-B-16-SigLIP') or --text), or take the image tower alone with load_vision"
        )
    other = load(text)
    layout = layouts.layout_of(trunk, found.name)
    vision = _vision_config(found, {}, trunk, layout)
    if vision.width != other.towers.text_config.embed_dim:
        raise CheckpointError(
            f"{found.name} gives vectors of {vision.width} numbers, the text tower of {text} of {other.towers.text_config.embed_dim}; "
            "they must be of one size"
        )
    with torch.device("meta"):
        tower = VisionEncoder(vision)
    other.towers.vision = tower
    return replace(other, statistics=published_statistics(vision.kinds), trained_sensors=(), gsd_m=(), heads={})


def _vision_config(found: Source, told: Mapping[str, Any], trunk: Mapping[str, Tensor], layout: str) -> VisionConfig:
    """From open_clip's or timm's configuration beside the weights, else by looking the shapes up in the zoo."""
    cfg = (told.get("model_cfg") or {}).get("vision_cfg") or {}
    if "timm_model_name" in cfg:
        return layouts.vision_config(str(cfg["timm_model_name"]), int(cfg.get("image_size", 224)), trunk, found.name)
    timm_config = found.json("config.json")
    if layout == "siglip-trunk" and "architecture" in timm_config:
        size = (timm_config.get("pretrained_cfg") or {}).get("input_size", [3, 224, 224])[-1]
        return layouts.vision_config(str(timm_config["architecture"]), int(size), trunk, found.name)
    try:
        shape = layouts.shape_of_trunk(trunk)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{found.name} is an incomplete image tower: {error!r} is absent") from None
    if layout == "dofa":
        shape = (*shape[:4], shape[4] - 1)  # the class token's position
    for size in zoo.SIZES.values():
        vision = size.vision
        if shape == (vision.width, vision.depth, vision.patch_size, vision.mlp_hidden, vision.grid**2) and not vision.stem:
            break
    else:
        width, depth, patch_size, hidden, positions = shape
        side = round(positions**0.5) * patch_size
        vision = VisionConfig(side, patch_size, width, depth, width // 64, hidden)  # 64 a head, as every ViT and DOFA have
        if width % 64:
            raise CheckpointError(
                f"{found.name}: a tower of width {width} and depth {depth} is in no table; put its {OPEN_CLIP_CONFIG} beside the weights"
            )
    if layout == "dofa":
        return replace(layouts.published_convention(vision, trunk), patch_padding=1)
    return layouts.published_convention(vision, trunk) if layouts.GENERATOR in trunk else vision


def _text_config(found: Source, told: Mapping[str, Any], vision: VisionConfig) -> TextConfig:
    cfg = told.get("model_cfg") or {}
    if "text_cfg" in cfg:
        return layouts.text_config(cfg["text_cfg"], int(cfg.get("embed_dim", vision.width)), found.name)
    for size in zoo.SIZES.values():
        if size.vision.width == vision.width and size.vision.image_size == vision.image_size and size.tokenizer_repo:
            return size.text
    raise CheckpointError(f"{found.name}: the text tower's shape is unknown; put its {OPEN_CLIP_CONFIG} beside the weights")


def _as_ours(trunk: Mapping[str, Tensor], config: VisionConfig, layout: str, where: str) -> dict[str, Tensor]:
    """The image tower's tensors as our tower has them: unchanged, or with what the layout lacks."""
    if layout == "dofa":
        state, told = complete_dofa(trunk, config, _SEED)
        warnings.warn(f"{where}: {told}", stacklevel=4)
        return state
    if layouts.CONVOLUTION not in trunk:
        return dict(trunk)
    state = {key: value for key, value in trunk.items() if not key.startswith("patch_embed.proj.")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        embed = WavelengthPatchEmbed(config.width, config.patch_size, hidden=config.generator_hidden)
    try:
        start_from_convolution(embed, trunk[layouts.CONVOLUTION], trunk["patch_embed.proj.bias"])
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{where}: {error}") from None
    return {**state, **{f"patch_embed.{key}": value for key, value in embed.state_dict().items()}}


def _dtype_of(trunk: Mapping[str, Tensor]) -> str:
    return str(next(iter(trunk.values())).dtype).removeprefix("torch.")
