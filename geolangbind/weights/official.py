"""Out again in the layout of the released checkpoints, for their code and for open_clip users."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from geolangbind import checkpoint
from geolangbind.errors import CheckpointError
from geolangbind.model import GeoLangBind
from geolangbind.models.encoder import VisionConfig
from geolangbind.weights.layouts import OURS, TRUNK
from geolangbind.weights.source import OPEN_CLIP_CONFIG

WEIGHTS = "open_clip_model.safetensors"
_NAMES = {(768, 12, 16): "dofa_vit_base_patch16_siglip", (1152, 27, 14): "dofa_vit_so400m_patch14_siglip"}
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def export_official(model: GeoLangBind, folder: str | Path, *, dtype: str | None = None) -> Path:
    """Write a model in the layout of the released GeoLangBind checkpoints: open_clip_model.safetensors, open_clip_config.json.

    A model that was loaded from that layout comes out bit for bit as it went in. open_clip_config.json carries our own configuration under
    `geolangbind`, which their code ignores and `geolangbind.load` reads.

    Args:
        model: of the published convention: wavelengths only, plain ViT.
        folder: to write; replaced whole if it exists.
        dtype: float32, float16 or bfloat16; by default the one the model was imported in, else float32.

    Raises:
        CheckpointError: the layout cannot express the model; says why and what can.
    """
    config = model.vision.config
    if reasons := _obstacles(config):
        raise CheckpointError(
            f"the official layout cannot hold this model: it has {', '.join(reasons)}. "
            "Export to onnx, torch-export or (for one channel set) timm"
        )
    name = dtype or str(model.provenance.get("stored_dtype", "float32"))
    if name not in _DTYPES:
        raise CheckpointError(f"unknown dtype '{name}'; dtypes are {', '.join(_DTYPES)}")
    tensors = {official_name(key): value.to(_DTYPES[name]) for key, value in {**model.towers.state_dict(), **model.heads}.items()}
    with checkpoint.atomic_folder(Path(folder)) as part:
        checkpoint.save_tensors(part / WEIGHTS, tensors, {"format": "pt"})
        (part / OPEN_CLIP_CONFIG).write_text(json.dumps(_config(model), indent=1) + "\n", encoding="utf-8")
        if model.tokenizer is not None:
            (part / checkpoint.TOKENIZER).write_text(model.tokenizer.to_json(), encoding="utf-8")
            pad = {"pad_token": model.tokenizer.core.id_to_token(model.tokenizer.pad_id)}
            (part / "tokenizer_config.json").write_text(json.dumps(pad) + "\n", encoding="utf-8")
    return Path(folder)


def _obstacles(config: VisionConfig) -> list[str]:
    told = {
        "codes of physical kinds": config.kinds,
        "kernels averaged over channels": config.mean_over_channels,
        "a convolution stem": bool(config.stem),
        "padded patches": config.patch_padding > 0,
    }
    return [text for text, there in told.items() if there]


def official_name(key: str) -> str:
    """The published name of one of our tensors."""
    for ours, theirs in ((OURS, TRUNK), ("maka.", "translators.")):
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    return key


def _config(model: GeoLangBind) -> dict[str, object]:
    vision, text = model.vision.config, model.towers.text_config
    key = (vision.width, vision.depth, vision.patch_size)
    name = _NAMES.get(key, "dofa_vit_w{}_d{}_patch{}_siglip".format(*key))
    text_cfg: dict[str, object] = {
        "context_length": text.context_length,
        "vocab_size": text.vocab_size,
        "hf_tokenizer_name": model.tokenizer.name if model.tokenizer else "timm/ViT-B-16-SigLIP",
        "tokenizer_kwargs": {"clean": model.tokenizer.clean if model.tokenizer else "canonicalize"},
        "width": text.width,
        "heads": text.heads,
        "layers": text.layers,
        "mlp_ratio": text.mlp_ratio,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
    }
    if text.gelu_tanh:
        text_cfg["act_kwargs"] = {"approximate": "tanh"}
    vision_cfg = {
        "image_size": vision.image_size,
        "timm_model_name": f"{name}_{vision.image_size}",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    }
    return {
        "model_cfg": {
            "embed_dim": text.embed_dim,
            "init_logit_bias": -10,
            "custom_text": True,
            "vision_cfg": vision_cfg,
            "text_cfg": text_cfg,
        },
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
        "geolangbind": model.config(),
    }
