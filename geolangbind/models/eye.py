"""What sees the images of a sequence: our vision tower, for any sensor, or the one that Qwen2-VL (arXiv 2409.12191) was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geolangbind.errors import DataError, SensorError
from geolangbind.models.encoder import VisionEncoder
from geolangbind.sensors.channels import RGB_UM, ChannelSet
from geolangbind.views import rgb_view

PICTURE = ChannelSet(RGB_UM, ("display",) * 3, (0.0,) * 3)
"""What `QwenTower.pictures` shows."""
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's, which Qwen2-VL took over
_NEAR_UM = 0.06
_LIGHT = ("display", "reflectance")


class Eye(Protocol):
    """How the interleaved model asks for what is in images."""

    @property
    def feature_width(self) -> int:
        """Numbers per feature, F."""

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of features of an image of so many pixels."""

    def vision_features(self, pixels: Tensor, channels: ChannelSet, valid: Tensor | None = None) -> Tensor:
        """Features (n, rows, columns, F) float of normalised images (n, C, height, width); see `InterleavedModel.vision_features`."""


@dataclass(frozen=True, eq=False)
class OwnEye:
    """Our tower: its patch embedding beside its last features, each standardised; images are enlarged `enlarge` times before."""

    tower: VisionEncoder
    enlarge: int

    @property
    def feature_width(self) -> int:
        """See `Eye`."""
        return 2 * self.tower.config.width

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """See `Eye`."""
        along = self.tower.config.tokens_along
        return along(height * self.enlarge), along(width * self.enlarge)

    def vision_features(self, pixels: Tensor, channels: ChannelSet, valid: Tensor | None = None) -> Tensor:
        """See `Eye`.

        Raises:
            DataError: an image without a single valid pixel, or not finite.
        """
        grid, times = self.grid_of(*pixels.shape[2:]), self.enlarge
        if times > 1:
            pixels = F.interpolate(pixels, scale_factor=times, mode="bilinear", align_corners=False)
            valid = None if valid is None else valid.repeat_interleave(times, 1).repeat_interleave(times, 2)
        seen = self.tower(pixels, channels=channels, valid=valid)
        features: Tensor = torch.cat([_standard(seen.patch_tokens), _standard(seen.features)], dim=2).unflatten(1, grid)
        return features


class QwenTower(nn.Module):
    """Qwen2-VL's own tower and merger, for red, green and blue: an `Eye` whose features are tokens of its language part already.

    Args:
        visual: of transformers.
    """

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual: Any = visual

    @property
    def config(self) -> Any:  # noqa: ANN401 - of transformers
        """Its sizes, in transformers' words."""
        return self.visual.config

    @property
    def feature_width(self) -> int:
        """See `Eye`."""
        return int(self.config.hidden_size)

    @property
    def token_px(self) -> int:
        """Side of a merged patch in pixels."""
        return int(self.config.patch_size * self.config.spatial_merge_size)

    def fitted_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels at which it sees an image: whole tokens, within Qwen2-VL's own limits (4 to 1,280 of 28 px).

        Raises:
            DataError: one side is more than 200 times the other.
        """
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

        try:
            fitted: tuple[int, int] = smart_resize(height, width, factor=self.token_px)
        except ValueError:
            raise DataError(f"an image of {height} x {width} px is too narrow for Qwen2-VL; cut it to pieces") from None
        return fitted

    def pictures(self, image: Tensor, channels: ChannelSet, sensor: str, valid: Tensor | None = None) -> Tensor:
        """Images of any sensor with visible bands as the tower takes them: (n, 3, height, width), resized and normalised as Qwen2-VL's own.

        Args:
            image: (n, C, H, W) float32 in canonical units.
            channels: of the images; three are chosen by wavelength.
            sensor: its name, for the failure.
            valid: (n, H, W) bool; pixels without data become black.

        Raises:
            SensorError: no red, green and blue among the channels.
            DataError: see `fitted_size`.
        """
        chosen = _visible(channels, sensor)
        view = rgb_view(image[:, chosen], channels.subset(chosen))
        if valid is not None:
            view = view * valid[:, None]
        size = self.fitted_size(*view.shape[2:])
        if size != view.shape[2:]:
            view = F.interpolate(view, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        mean, std = (torch.tensor(values, device=view.device).view(3, 1, 1) for values in (_MEAN, _STD))
        return (view - mean) / std

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """See `Eye`; height and width as `fitted_size` gives them."""
        return height // self.token_px, width // self.token_px

    def vision_features(self, pixels: Tensor, channels: ChannelSet, valid: Tensor | None = None) -> Tensor:
        """See `Eye`; `pixels` and `channels` are those of `pictures`."""
        if channels != PICTURE:
            raise SensorError("Qwen2-VL's own tower takes what QwenTower.pictures makes, not the channels of a sensor")
        (rows, columns), merge, patch = self.grid_of(*pixels.shape[2:]), self.config.spatial_merge_size, self.config.patch_size
        # patches of one token side by side; each is seen as a film of a few equal frames
        patches = pixels.reshape(len(pixels), 3, rows, merge, patch, columns, merge, patch).permute(0, 2, 5, 3, 6, 1, 4, 7)
        film = patches.unsqueeze(6).expand(*[-1] * 6, self.config.temporal_patch_size, -1, -1).flatten(5).flatten(0, 4)
        grids = torch.tensor([(1, rows * merge, columns * merge)] * len(pixels), device=pixels.device)
        tokens: Tensor = self.visual(film.to(self.visual.dtype), grid_thw=grids).pooler_output.float()
        return tokens.view(len(pixels), rows, columns, -1)


def _visible(channels: ChannelSet, sensor: str) -> list[int]:
    """Red, green and blue among channels."""
    um, kinds = channels.wavelengths_um, channels.kinds or ()
    light = [channel for channel, kind in enumerate(kinds) if kind.startswith(_LIGHT)]
    chosen = [min(light, key=lambda channel: abs(um[channel] - target), default=0) for target in RGB_UM]
    near = all(abs(um[channel] - target) <= _NEAR_UM for channel, target in zip(chosen, RGB_UM, strict=True))
    if not light or not near or len(set(chosen)) < len(RGB_UM):
        raise SensorError(
            f"Qwen2-VL's own tower sees red, green and blue only, and these bands of {sensor} have no such three; "
            "an encoder with a geolangbind tower takes them"
        )
    return chosen


def _standard(tokens: Tensor) -> Tensor:
    return F.layer_norm(tokens.float(), tokens.shape[-1:])
