"""Augmentation of a normalised batch: symmetries of the square, and gains that a real sensor and sky would add.

Values are normalised before (one deviation is 1), so that one set of amplitudes serves every sensor. Teacher features are turned with
the image. Random numbers come from the generator given: data order and augmentation are functions of (seed, step) alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from geolangbind.sensors.channels import ChannelSet

_FEW_BYTES = 2**24
"""Images are turned a few at a time in their own memory: new memory for a batch of 200 bands takes a CPU longer than the turning."""


@dataclass(frozen=True)
class Augmentation:
    """How much is drawn; zero switches a part off.

    Attributes:
        flips: random element of the square's eight symmetries, one for the whole batch.
        image_gain: deviation of an offset shared by all bands of an image (illumination, for log reflectance).
        band_gain: deviation of an offset per image and band (calibration, haze).
        contrast: deviation of a factor per image.
        most_bands: a step looks at this many bands, drawn anew each step; 0 for all.
        drop_bands: share of steps that leave out bands, a random number of those that are there, drawn anew each step.
        wavelength_jitter: deviation of the wavelength that the model is told, as a share of it, drawn anew per step and band. The code of a
            wavelength turns within nanometres: without jitter, kernels mean something at the centres of trained bands only.
        crop: smallest share of the image's area that a random crop keeps, see `crop.crop_batch`; 0 for none.
    """

    flips: bool = True
    image_gain: float = 0.2
    band_gain: float = 0.1
    contrast: float = 0.1
    most_bands: int = 0
    drop_bands: float = 0.0
    wavelength_jitter: float = 0.0
    crop: float = 0.0


@dataclass(frozen=True)
class Share:
    """Which rows of the batch of all processes are here.

    Random numbers are drawn for all rows and each process takes its own, so that an image is changed in the same way however many
    processes share the batch.

    Attributes:
        rows: positions in the whole batch.
        total: size of the whole batch.
    """

    rows: tuple[int, ...]
    total: int

    @classmethod
    def of(cls, count: int, rank: int = 0, world_size: int = 1) -> Self:
        """The `count` rows of `rank`."""
        return cls(tuple(range(rank * count, (rank + 1) * count)), world_size * count)


def augment(
    image: Tensor,
    features: Mapping[str, Tensor],
    settings: Augmentation,
    generator: torch.Generator,
    valid: Tensor | None = None,
    share: Share | None = None,
) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
    """Augment one batch.

    Args:
        image: (B, C, H, W) float32, normalised; changed in place.
        features: teacher tokens (B, N, D) on square grids.
        settings: amplitudes.
        generator: source of all randomness, on the CPU.
        valid: (B, H, W) bool, or None.
        share: which rows of the whole batch these are; None for all.

    Returns:
        Image, features and valid pixels.
    """
    count, share = image.shape[1], share or Share.of(len(image))
    if settings.flips:
        turns, mirrored = int(torch.randint(4, (), generator=generator)), bool(torch.randint(2, (), generator=generator))
        image = _symmetry(image, turns, mirrored, in_place=image.device.type == "cpu")
        valid = None if valid is None else _symmetry(valid, turns, mirrored)
        features = {name: _turn_tokens(tokens, turns, mirrored) for name, tokens in features.items()}

    def normal(bands: int) -> Tensor:
        drawn = torch.randn((share.total, bands, 1, 1), generator=generator)
        return drawn[list(share.rows)].to(image.device)

    gain = settings.image_gain * normal(1) + settings.band_gain * normal(count)
    return image.mul_(1 + settings.contrast * normal(1)).add_(gain), dict(features), valid


def draw_bands(count: int, settings: Augmentation, generator: torch.Generator) -> list[int] | None:
    """Which of `count` bands a step looks at, ascending, or None for all.

    Neighbouring bands of an imaging spectrometer tell nearly the same; a random third of them costs a third and teaches the
    kernel generator not to lean on any one. Dropping keeps at least a quarter of the bands that are there.
    """
    kept = settings.most_bands if 0 < settings.most_bands < count else count
    if settings.drop_bands and count > 1 and float(torch.rand((), generator=generator)) < settings.drop_bands:
        kept = int(torch.randint(max(1, kept // 4), min(kept, count - 1) + 1, (), generator=generator))
    if kept == count:
        return None
    return sorted(torch.randperm(count, generator=generator)[:kept].tolist())


def jitter_wavelengths(channels: ChannelSet, share: float, generator: torch.Generator) -> ChannelSet:
    """Channels with wavelengths multiplied by 1 + share * N(0, 1), one draw per channel; those without a wavelength stay."""
    if not share:
        return channels
    factors = (1 + share * torch.randn(len(channels), generator=generator)).clamp(0.5, 1.5).tolist()
    return replace(channels, wavelengths_um=tuple(um * factor for um, factor in zip(channels.wavelengths_um, factors, strict=True)))


def _symmetry(grid: Tensor, turns: int, mirrored: bool, *, in_place: bool = False) -> Tensor:
    """Quarter turns as `torch.rot90`, then a mirroring left to right, in one pass over the pixels."""
    down, across = turns in (1, 2), (turns in (2, 3)) != mirrored
    grid = grid.transpose(-2, -1) if turns % 2 else grid
    dims = [dim for dim, flipped in ((-2, down), (-1, across)) if flipped]
    if not (dims and in_place):
        return grid.flip(dims) if dims else grid
    for some in torch.split(grid, max(1, _FEW_BYTES // grid[0].nbytes)):
        some.copy_(some.flip(dims))
    return grid


def _turn_tokens(tokens: Tensor, turns: int, mirrored: bool) -> Tensor:
    side = math.isqrt(tokens.shape[1])
    grid = tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
    return _symmetry(grid, turns, mirrored).flatten(2).transpose(1, 2)
