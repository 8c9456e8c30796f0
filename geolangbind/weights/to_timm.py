"""A frozen image tower as a plain timm ViT: a folder in timm's hub layout, for fine-tuning and timm's own tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geolangbind.checkpoint import CONFIG, WEIGHTS
from geolangbind.errors import CheckpointError
from geolangbind.model import GeoLangBind
from geolangbind.models.encoder import VisionConfig
from geolangbind.weights.export import check_agreement, describe_image, export_folder, write_told
from geolangbind.weights.frozen import ImageInput, freeze

_FAMILIES: dict[tuple[int, int, int, int, int], tuple[str, tuple[int, ...]]] = {
    (16, 768, 12, 12, 3072): ("vit_base_patch16_siglip", (224, 256, 384, 512)),
    (32, 768, 12, 12, 3072): ("vit_base_patch32_siglip", (256,)),
    (16, 1024, 24, 16, 4096): ("vit_large_patch16_siglip", (256, 384, 512)),
    (14, 1152, 27, 16, 4304): ("vit_so400m_patch14_siglip", (384, 224, 378)),
    (16, 1152, 27, 16, 4304): ("vit_so400m_patch16_siglip", (256, 384, 512)),
}
"""timm's SigLIP towers by patch size, width, depth, heads and MLP width, with the image sizes they are registered for."""
_CHECKED_BATCH = 2


def export_timm(model: GeoLangBind, folder: str | Path, image: ImageInput) -> Path:
    """Write config.json, model.safetensors, export.json and README.md, for `timm.create_model("local-dir:FOLDER", pretrained=True)`.

    timm's model takes normalised input. Where every channel's normalisation is a plain `(x - mean) / std`, timm's transforms are told
    mean and std and do it; otherwise its mean is 0 and std 1, and export.json says what must be done before.

    Args:
        model: the live model, unchanged afterwards.
        folder: final place; replaced whole if it holds an earlier export.
        image: the channels to freeze, see `frozen.image_input`.

    Returns:
        The path of the folder.

    Raises:
        CheckpointError: the tower is no timm ViT, the folder holds something else, or timm's model does not give the live model's
            embedding to 1e-4. Nothing is left behind then.
        SensorError, UnitError: see `frozen.freeze`.
    """
    import timm
    from safetensors.torch import save_file

    config = model.vision.config
    _check_plain(config)
    architecture, arguments = timm_architecture(config, len(image.channels))
    told = describe_image(model, image, folded=False)
    rows = told["normalisation"]["channels"]
    told["normalisation"]["folded"] = bool(rows) and all(row["transform"] == "identity" for row in rows)
    settings = _config(told, architecture, arguments, config.width)
    with export_folder(Path(folder)) as part:
        save_file(timm_tensors(model, image), part / WEIGHTS, {"format": "pt"})
        loaded = timm.create_model(architecture, num_classes=0, checkpoint_path=str(part / WEIGHTS), **arguments).eval()
        difference = check_agreement(*_both(model, image, loaded), f"timm's {architecture}")
        output = {"shape": ["batch", config.width], "length": "not normalised"}
        entry = {"file": WEIGHTS, **told, "output": output, "largest_difference": difference}
        write_told(part, {"program": "timm", "image": entry, "text": None})
        (part / CONFIG).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        (part / "README.md").write_text(_readme(told, architecture), encoding="utf-8")
    return Path(folder)


def timm_architecture(config: VisionConfig, channels: int) -> tuple[str, dict[str, Any]]:
    """The registered timm model of a tower, and the arguments that make it this one.

    Returns:
        Name and keyword arguments of `timm.create_model`.
    """
    key = (config.patch_size, config.width, config.depth, config.num_heads, config.mlp_hidden)
    arguments = {"in_chans": channels, "img_size": config.image_size, "act_layer": "gelu_tanh" if config.gelu_tanh else "gelu"}
    if key in _FAMILIES:
        name, sizes = _FAMILIES[key]
        return f"{name}_{config.image_size if config.image_size in sizes else sizes[0]}", arguments
    shape = {"patch_size": config.patch_size, "embed_dim": config.width, "depth": config.depth, "num_heads": config.num_heads}
    return "vit_base_patch16_siglip_224", {**arguments, **shape, "mlp_ratio": config.mlp_hidden / config.width}


def timm_tensors(model: GeoLangBind, image: ImageInput) -> dict[str, Tensor]:
    """The frozen tower's weights under timm's names, float32; see `export_timm`."""
    frozen = freeze(model, image.channels, sensor=image.sensor, bands=image.bands)
    patch_embed = {f"patch_embed.proj.{name}": tensor for name, tensor in frozen.patch_embed.state_dict().items()}
    return {name: tensor.contiguous() for name, tensor in {**patch_embed, **frozen.vision.state_dict()}.items()}


def _check_plain(config: VisionConfig) -> None:
    if config.stem or config.patch_padding:
        what = "convolutions between patches and transformer" if config.stem else f"patches padded by {config.patch_padding}"
        raise CheckpointError(f"this tower has {what}, which timm's ViTs have not; export to onnx or torch-export instead")


@torch.no_grad()
def _both(model: GeoLangBind, image: ImageInput, loaded: torch.nn.Module) -> tuple[Tensor, Tensor]:
    size = model.vision.config.image_size
    pixels = torch.randn(_CHECKED_BATCH, len(image.channels), size, size, generator=torch.Generator().manual_seed(0))
    expected = model.vision(pixels.to(model.towers.logit_bias.device), channels=image.channels).embedding
    return loaded(pixels), expected.float().cpu()


def _config(told: dict[str, Any], architecture: str, arguments: dict[str, Any], width: int) -> dict[str, Any]:
    shape = told["input"]["shape"][1:]
    folded, rows = told["normalisation"]["folded"], told["normalisation"]["channels"]
    pretrained = {
        "input_size": shape,
        "fixed_input_size": True,
        "num_classes": 0,
        "pool_size": None,
        "mean": [row["mean"] for row in rows] if folded else [0.0] * shape[0],
        "std": [row["std"] for row in rows] if folded else [1.0] * shape[0],
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "center",
        # not named: older timm takes every checkpoint for one of three channels, and would drop these kernels
        "first_conv": None,
        "classifier": "head",
        "custom_load": False,
    }
    return {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": width,
        "global_pool": "map",
        "model_args": arguments,
        "pretrained_cfg": pretrained,
    }


def _readme(told: dict[str, Any], architecture: str) -> str:
    shape = ", ".join(str(count) for count in told["input"]["shape"][1:])
    what = f"{', '.join(told['bands'])} of {told['sensor']} in {told['unit']}" if told["sensor"] else "see wavelengths_um in export.json"
    how = "to be done first, as export.json says; mean 0 and std 1 in its pretrained_cfg leave the values alone"
    if told["normalisation"]["folded"]:
        how = "mean and std of its pretrained_cfg (display images as 0-1, everything else in its unit)"
    return (
        f"# A geolangbind image tower as timm's {architecture}\n\n"
        f"Input: (batch, {shape}) float32, {what}, in this order. Normalisation: {how}.\n\n"
        "```python\nimport timm\nimport torch\n\n"
        'model = timm.create_model("local-dir:.", pretrained=True).eval()  # the path of this folder\n'
        f"embedding = model(torch.zeros(1, {shape}))\n```\n"
    )
