"""Frozen teachers: each owns its input size, its normalisation and its token grid, and sees an RGB view of any sensor.

A teacher's source is one of
    timm:NAME                pretrained weights from the hub or its cache (DINOv2, SigLIP, supervised ViTs)
    timm:NAME#SIDE           the same at SIDE x SIDE pixels instead of its own input size, position embeddings interpolated
    timm:NAME@FILE           the same architecture, weights from a safetensors file
    FOLDER                   a teacher folder (timm name, arguments and weights), as `save_teacher` writes
    FOLDER                   a geolangbind model folder: its image tower, on its RGB channels
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from geolangbind import checkpoint
from geolangbind.errors import CheckpointError
from geolangbind.model import load_folder
from geolangbind.sensors.channels import RGB_UM, ChannelSet
from geolangbind.views import rgb_view

_TEACHER_FORMAT = "geolangbind-teacher"
_ATTENTION = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
# what a teacher folder may ask of timm: shapes only (timm's `checkpoint_path` would unpickle a file)
_VIT_ARGUMENTS = frozenset(
    {"img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "reg_tokens", "class_token", "global_pool", "init_values",
     "qkv_bias", "qk_norm", "pos_embed", "no_embed_class", "pre_norm", "dynamic_img_size", "drop_path_rate", "weight_init"}
)  # fmt: skip


@dataclass(frozen=True)
class Teacher:
    """A frozen network that turns pictures into tokens.

    Attributes:
        name: how features and losses are labelled.
        tokens: (B, 3, size, size) normalised pictures to (B, N, D) tokens, class and register tokens removed.
        size_px: input side.
        mean: per RGB channel, of pictures in [0, 1].
        std: likewise.
        width: token width D.
        grid: tokens along one side, N = grid^2.
        identity: what the teacher is, for the record (source and weights' hash where there is a file).
        module: the network behind `tokens`, to move it.
    """

    name: str
    tokens: Callable[[Tensor], Tensor] = field(repr=False)
    size_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    width: int
    grid: int
    identity: str
    module: nn.Module = field(repr=False)

    def to(self, device: torch.device | str) -> Self:
        """Move the network to a device; views must come from there too."""
        self.module.to(device)
        return self

    @torch.inference_mode()
    def features(self, view: Tensor) -> Tensor:
        """Tokens of RGB views.

        Args:
            view: (B, 3, H, W) in [0, 1], see `views.rgb_view`; any size.

        Returns:
            (B, N, D) float32.
        """
        view = _resized(view, self.size_px)
        mean, std = (torch.tensor(values, device=view.device).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return self.tokens((view - mean) / std).float()

    def see(self, image: Tensor, channels: ChannelSet, valid: Tensor | None = None) -> Tensor:
        """Tokens (B, N, D) of images of any sensor in canonical units (B, C, H, W); `valid` (B, H, W) as in `views.rgb_view`."""
        return self.features(rgb_view(image, channels, valid))


def see_all(teachers: Mapping[str, Teacher], image: Tensor, channels: ChannelSet, valid: Tensor | None = None) -> dict[str, Tensor]:
    """Tokens of one batch by every teacher: one RGB view for all, resized once per input size, networks in bfloat16 autocast.

    Training and `geolangbind shards add-features` both go through here, so that live and stored features are the same values, the
    stored ones rounded to fp16.

    Args:
        teachers: by name, on the device of the images.
        image: (B, C, H, W) float32 in canonical units.
        channels: C channels with kinds.
        valid: (B, H, W) bool, see `views.rgb_view`.

    Returns:
        (B, N, D) float32 by name.
    """
    with torch.inference_mode():
        view = rgb_view(image, channels, valid)
        views = {size_px: _resized(view, size_px) for size_px in {teacher.size_px for teacher in teachers.values()}}
        # whatever attention the caller's backward pass wants: here there is none
        with torch.autocast(image.device.type, torch.bfloat16), sdpa_kernel(_ATTENTION):
            seen = {name: teacher.features(views[teacher.size_px]) for name, teacher in teachers.items()}
    return {name: tokens.clone() for name, tokens in seen.items()}  # a loss cannot save tensors of inference mode


def _resized(view: Tensor, size_px: int) -> Tensor:
    if view.shape[-2:] == (size_px, size_px):
        return view
    return F.interpolate(view, (size_px, size_px), mode="bilinear", align_corners=False, antialias=True)


def load_teacher(name: str, source: str) -> Teacher:
    """Load a teacher; see the module's text for the sources.

    Raises:
        CheckpointError: the source is unknown, absent or damaged, or its weights cannot be fetched.
    """
    if source.startswith("timm:"):
        return _timm_teacher(name, source)
    folder = Path(source)
    if not (folder / checkpoint.CONFIG).is_file() and not (folder / "model" / checkpoint.CONFIG).is_file():
        raise CheckpointError(
            f"teacher {name}: no such folder '{source}'. Give timm:NAME, timm:NAME@FILE, a teacher folder or a model folder"
        )
    if (folder / checkpoint.CONFIG).is_file():
        try:
            config = json.loads((folder / checkpoint.CONFIG).read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(f"teacher {name}: cannot read {folder / checkpoint.CONFIG}: {error}") from None
        if isinstance(config, dict) and config.get("format") == _TEACHER_FORMAT:
            return _folder_teacher(name, folder, config)
    return _model_teacher(name, folder)


def save_teacher(folder: Path, model: nn.Module, config: Mapping[str, Any]) -> None:
    """Write a teacher folder.

    Args:
        folder: replaced whole if it exists.
        model: a timm vision transformer.
        config: `timm` (architecture name), `arguments` (of timm.create_model), `size_px`, `mean`, `std`, and anything worth recording.
    """
    from safetensors.torch import save_file

    with checkpoint.atomic_folder(folder) as part:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, part / checkpoint.WEIGHTS)
        (part / checkpoint.CONFIG).write_text(json.dumps({"format": _TEACHER_FORMAT, **config}, indent=1) + "\n", encoding="utf-8")


def _vit_tokens(model: nn.Module) -> Callable[[Tensor], Tensor]:
    model.eval().requires_grad_(False)
    skip = int(getattr(model, "num_prefix_tokens", 0))
    forward: Callable[[Tensor], Tensor] = model.forward_features  # type: ignore[assignment]  # timm's models, typed as plain modules
    return lambda pictures: forward(pictures)[:, skip:]


def _finish(name: str, model: nn.Module, size_px: int, mean: tuple[float, ...], std: tuple[float, ...], identity: str) -> Teacher:
    tokens = _vit_tokens(model)
    with torch.inference_mode():
        _, count, width = tokens(torch.zeros(1, 3, size_px, size_px)).shape
    return Teacher(name, tokens, size_px, mean, std, width, round(count**0.5), identity, model)


def _timm_teacher(name: str, source: str) -> Teacher:
    import timm
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    architecture, _, file = source.removeprefix("timm:").partition("@")
    architecture, _, side = architecture.partition("#")
    if side and (not side.isdecimal() or int(side) == 0):
        raise CheckpointError(f"teacher {name}: '{side}' is no side in pixels; write timm:{architecture}#378")
    size = {"img_size": int(side)} if side else {}
    base = architecture.split(".")[0]
    if not timm.is_model(base):
        similar = ", ".join(get_close_matches(base, timm.list_models("*vit*"), 5))
        raise CheckpointError(f"teacher {name}: timm has no model '{architecture}'; similar: {similar or 'none'}")
    try:
        model = timm.create_model(architecture, pretrained=not file, num_classes=0, dynamic_img_size=False, **size)
    except TypeError:
        raise CheckpointError(f"teacher {name}: {architecture} is no plain vision transformer; name one, such as vit_*") from None
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"teacher {name}: weights of {architecture} are neither cached nor reachable ({error}); use timm:{architecture}@FILE"
        ) from None
    identity = source
    if file:
        if not Path(file).is_file():
            raise CheckpointError(f"teacher {name}: no weights file '{file}'")
        try:
            weights = {key: value for key, value in load_file(file).items() if not key.startswith("head.")}
        except SafetensorError as error:
            raise CheckpointError(f"teacher {name}: {file} is no safetensors file: {error}") from None
        if side:  # what timm does with its own weights
            weights = timm.models.vision_transformer.checkpoint_filter_fn(weights, model)
        if table := checkpoint.mismatch_table(model.state_dict(), weights):
            raise CheckpointError(f"teacher {name}: {file} does not fit {architecture}, {table}")
        model.load_state_dict(weights)
        identity = f"timm:{architecture}{f'#{side}' if side else ''} sha256:{checkpoint.file_sha256(Path(file))}"
    data = timm.data.resolve_model_data_config(model)
    return _finish(name, model, int(side or data["input_size"][-1]), tuple(data["mean"]), tuple(data["std"]), identity)


def _folder_teacher(name: str, folder: Path, config: Mapping[str, Any]) -> Teacher:
    import timm

    try:
        strange = sorted(set(config["arguments"]) - _VIT_ARGUMENTS)
        if strange or not timm.is_model(config["timm"]):
            raise ValueError(f"architecture {config['timm']}, unknown arguments {strange}")
        model = timm.create_model(config["timm"], pretrained=False, num_classes=0, **config["arguments"])
        size_px, mean, std = int(config["size_px"]), tuple(config["mean"]), tuple(config["std"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"teacher {name}: {folder / checkpoint.CONFIG} is damaged: {error!r}") from None
    weights = {key: value for key, value in checkpoint.read_tensors(folder).items() if not key.startswith("head.")}
    if table := checkpoint.mismatch_table(model.state_dict(), weights):
        raise CheckpointError(f"teacher {name}: weights of {folder} do not fit, {table}")
    model.load_state_dict(weights)
    return _finish(name, model, size_px, mean, std, f"sha256:{checkpoint.file_sha256(folder / checkpoint.WEIGHTS)}")


def _model_teacher(name: str, folder: Path) -> Teacher:
    model = load_folder(folder)
    if "display" not in model.statistics.kinds:
        raise CheckpointError(f"teacher {name}: the model at {folder} was never taught display images; it cannot see RGB views")
    channels = ChannelSet(RGB_UM, ("display",) * 3, (0.0,) * 3)
    kind = model.statistics.kinds["display"]
    vision = model.vision.requires_grad_(False)
    size_px = vision.config.image_size
    weights = checkpoint.find_model(folder) / checkpoint.WEIGHTS
    mean = tuple(kind.mean[min(range(len(kind.mean)), key=lambda i: abs(kind.wavelengths_um[i] - target))] for target in RGB_UM)
    return Teacher(
        name,
        lambda pictures: vision(pictures, channels=channels).features,
        size_px,
        mean,
        (kind.std[0],) * 3,
        vision.config.width,
        vision.config.grid,
        f"sha256:{checkpoint.file_sha256(weights)}",
        vision,
    )
