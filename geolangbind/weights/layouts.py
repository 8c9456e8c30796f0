"""Checkpoints of other projects: which layout a state dict has, what its configuration says, and its tensors under our names.

Layouts: `official` (GeoLangBind / DOFA-CLIP as open_clip saves it), `siglip` (SigLIP and SigLIP 2 as open_clip saves them), and image
towers alone: `official-trunk`, `siglip-trunk` (timm), `dofa` (torchgeo and the DOFA repository).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import Tensor

from geolangbind.errors import CheckpointError
from geolangbind.models.encoder import VisionConfig
from geolangbind.models.text import TextConfig

GENERATOR = "patch_embed.weight_generator.weight_tokens"
CONVOLUTION = "patch_embed.proj.weight"
TRUNK, OURS = "visual.trunk.", "vision."
_PUBLISHED_PREFIX = "dofa_"  # the published names are those of timm's SigLIP with this in front
_RADAR_UM = 5.405  # DOFA's own examples give Sentinel-1's frequency in GHz as if it were µm (arXiv 2403.15356, repository README)


def layout_of(state: Mapping[str, Tensor], where: str) -> str:
    """Name the layout of a state dict.

    Raises:
        CheckpointError: none of the known; says what it looks like.
    """
    for name, key in (("official", TRUNK + GENERATOR), ("siglip", TRUNK + CONVOLUTION)):
        if key in state:
            return name
    if GENERATOR in state:
        return "dofa" if "cls_token" in state else "official-trunk"
    if CONVOLUTION in state and "attn_pool.latent" in state:
        return "siglip-trunk"
    vit = "cls_token" in state
    hint = "It is a ViT with a class token: use it as a teacher, NAME=timm:ARCHITECTURE@FILE. " if vit else ""
    raise CheckpointError(
        f"{where} is of no known layout. {hint}Known are GeoLangBind / DOFA-CLIP, SigLIP and SigLIP 2 (open_clip), SigLIP image towers "
        f"(timm) and DOFA; its first tensors are {', '.join(sorted(state)[:4])}"
    )


def trunk_of(state: Mapping[str, Tensor], layout: str) -> dict[str, Tensor]:
    """The image tower's tensors, without prefix."""
    prefix = TRUNK if layout in ("official", "siglip") else ""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def rest_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is not the image tower, under our names: text tower, logit scale and bias, MaKA projectors."""
    rest = {key: value for key, value in state.items() if not key.startswith(TRUNK)}
    return {f"maka.{key.removeprefix('translators.')}" if key.startswith("translators.") else key: value for key, value in rest.items()}


def vision_config(name: str, image_size: int, trunk: Mapping[str, Tensor], where: str) -> VisionConfig:
    """Architecture of an image tower from its timm name, as open_clip and timm configurations give it.

    Raises:
        CheckpointError: timm knows no such ViT.
    """
    published = name.startswith(_PUBLISHED_PREFIX)
    try:
        with torch.device("meta"):
            vit = timm.create_model(name.removeprefix(_PUBLISHED_PREFIX), num_classes=0, img_size=image_size)
        block, pool = vit.blocks[0], vit.attn_pool
        patch_size, hidden, heads, act = vit.patch_embed.patch_size[0], block.mlp.fc1.out_features, block.attn.num_heads, block.mlp.act
    except (RuntimeError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{where}: '{name}' is no SigLIP image tower that timm {timm.__version__} knows ({error})") from None
    if pool is None:
        raise CheckpointError(f"{where}: '{name}' has no attention pooling; only SigLIP towers with it can be read")
    tanh = "tanh" in repr(act).lower()
    config = VisionConfig(image_size, patch_size, vit.embed_dim, len(vit.blocks), heads, hidden, gelu_tanh=tanh)
    return published_convention(config, trunk) if published or GENERATOR in trunk else config


def published_convention(config: VisionConfig, trunk: Mapping[str, Tensor]) -> VisionConfig:
    """The same tower under the published convention: wavelengths only, kernels summed over channels."""
    from dataclasses import replace

    key = "patch_embed.weight_generator.transformer_encoder.layers.0.linear1.weight"
    hidden = trunk[key].shape[0] if key in trunk else config.generator_hidden
    return replace(config, generator_hidden=hidden, kinds=False, mean_over_channels=False, radar_um=_RADAR_UM)


def text_config(told: Mapping[str, Any], embed_dim: int, where: str) -> TextConfig:
    """Architecture of a text tower from open_clip's `text_cfg`.

    Raises:
        CheckpointError: it is not SigLIP's kind of tower.
    """
    expected = {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
    if wrong := {key: told.get(key) for key, value in expected.items() if told.get(key) != value}:
        raise CheckpointError(f"{where}: the text tower is not SigLIP's: text_cfg has {wrong}, SigLIP {expected}")
    try:
        ratio, tanh = float(told.get("mlp_ratio", 4.0)), (told.get("act_kwargs") or {}).get("approximate") == "tanh"
        vocabulary, length, width = (int(told[key]) for key in ("vocab_size", "context_length", "width"))
        return TextConfig(vocabulary, length, width, int(told["layers"]), int(told["heads"]), ratio, embed_dim, tanh)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{where}: text_cfg is incomplete or damaged: {error!r}") from None


def shape_of_trunk(trunk: Mapping[str, Tensor]) -> tuple[int, int, int, int, int]:
    """Width, depth, patch size, MLP width and number of position embeddings, read off the shapes.

    Raises:
        KeyError: a tensor that tells is missing.
    """
    width = trunk["norm.weight"].shape[0] if "norm.weight" in trunk else trunk["pos_embed"].shape[-1]
    depth = 1 + max(int(key.split(".")[1]) for key in trunk if key.startswith("blocks."))
    if CONVOLUTION in trunk:
        patch_size = trunk[CONVOLUTION].shape[-1]
    else:
        patch_size = math.isqrt(trunk["patch_embed.weight_generator.fc_weight.bias"].shape[0] // width)
    return width, depth, patch_size, trunk["blocks.0.mlp.fc1.weight"].shape[0], trunk["pos_embed"].shape[1]
