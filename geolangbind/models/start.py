"""A generated patch embedding that starts as a given convolution: the last layer of the kernel generator, solved in closed form."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from geolangbind.models.wavelength import KERNEL_SCALE, WavelengthPatchEmbed
from geolangbind.sensors.channels import KINDS, OPTICAL_KINDS, RGB_UM, ChannelSet

_COLOURS_UM = (0.36, 0.40, 0.51, 0.53, 0.58, 0.63, 0.70, 0.78)
_RED, _GREEN, _BLUE = (0, 0, 0, 0, 0, 1, 1, 0), (0, 0, 0, 1, 1, 0, 0, 0), (0, 1, 1, 0, 0, 0, 0, 0)
"""Shares of the red, green and blue kernel over wavelength, linear between: flat where cameras have their bands, none beyond."""
_SEEN_UM = (*np.arange(0.35, 1.0, 0.005), *np.arange(1.0, 2.5, 0.02), *np.arange(3.0, 14.0, 0.25))
_CAMERA_SHIFTS_UM = (-0.04, -0.03, -0.02, -0.015, -0.01, -0.005, 0.0, 0.003, 0.01)
_RIDGE = 1e-3


@torch.no_grad()
def start_from_convolution(embed: WavelengthPatchEmbed, weight: Tensor, bias: Tensor) -> None:
    """Make `embed` reproduce the convolution of an RGB model at the RGB wavelengths (`RGB_UM`), in place.

    Let h be what the generator's last layer sees of a channel, K_r, K_g, K_b the convolution's kernels and K their mean. The layer's bias
    becomes K, and its matrix W = P (K_c - K): P maps h to shares of the three kernels beyond a third each. P is the solution of smallest
    norm that is exact at the three wavelengths, plus a ridge regression in what that leaves free: neighbouring visible wavelengths get
    the kernel of their colour, so that other cameras' red is red too, and all else (infrared, radar, elevation) the grey kernel K.
    The convolution's bias becomes the generated bias of every channel set.

    Codes of optical kinds become zero: a wavelength then means the same in a picture and in reflectance until training says otherwise.

    Args:
        embed: of random weights; all but the last layers and those codes stay as they are.
        weight: (D, 3, k, k) float, the convolution on red, green, blue.
        bias: (D,) float.

    Raises:
        ValueError: the convolution has another shape than the embedding.
    """
    if tuple(weight.shape) != (embed.width, 3, embed.patch_size, embed.patch_size):
        raise ValueError(
            f"a convolution of shape {tuple(weight.shape)} cannot start kernels for three channels, {embed.patch_size} px, "
            f"width {embed.width}"
        )
    if embed.kind_code is not None:
        embed.kind_code[[KINDS.index(kind) for kind in OPTICAL_KINDS]] = 0.0
    generator = embed.weight_generator
    kernels = weight.double().permute(1, 2, 3, 0).flatten(1) / KERNEL_SCALE  # (3, k*k*D), as the generator emits them
    grey = kernels.mean(0)
    shares = _solve(_seen(embed, ChannelSet(RGB_UM)), *_wanted(embed))
    generator.fc_weight.weight.copy_((shares @ (kernels - grey)).T)
    generator.fc_weight.bias.copy_(grey)
    generator.fc_bias.weight.zero_()
    generator.fc_bias.bias.copy_(bias.double() / KERNEL_SCALE)


def _seen(embed: WavelengthPatchEmbed, channels: ChannelSet) -> Tensor:
    """What the last layer sees of each channel, (C, n) float64."""
    mixed, _ = embed.weight_generator.mix(embed.fclayer(embed.channel_code(channels)))
    return mixed.double()


def _wanted(embed: WavelengthPatchEmbed) -> tuple[Tensor, Tensor]:
    """Channels of many kinds of images, as the last layer sees them, and the shares they should get: (N, n) and (N, 3)."""
    sets = [ChannelSet((um,)) for um in _SEEN_UM]
    sets += [ChannelSet(tuple(um + shift for um in RGB_UM)) for shift in _CAMERA_SHIFTS_UM]
    sets += [ChannelSet((0.65, 0.55, 0.45)), ChannelSet((*RGB_UM, 0.705, 0.74, 0.783, 0.842, 1.61, 2.19)), ChannelSet(tuple(_SEEN_UM))]
    if embed.kind_code is not None:
        others = tuple(kind for kind in KINDS if kind not in OPTICAL_KINDS)
        sets += [ChannelSet((0.0,), (kind,)) for kind in others]
    rows = torch.cat([_seen(embed, channels) for channels in sets])
    lengths_um = [um for channels in sets for um in channels.wavelengths_um]
    return rows, torch.tensor(np.stack([np.interp(lengths_um, _COLOURS_UM, colour) for colour in (_RED, _GREEN, _BLUE)], axis=1))


def _solve(exact: Tensor, rows: Tensor, shares: Tensor) -> Tensor:
    """Shares beyond a third each as a linear map of what is seen, (n, 3): exact on `exact`, ridge regression on `rows` in what is free."""
    third = shares.sum(1, keepdim=True) / 3
    wanted = shares - third
    particular = torch.linalg.pinv(exact) @ (torch.eye(3, dtype=exact.dtype) - 1 / 3)
    _, _, basis = torch.linalg.svd(exact, full_matrices=True)
    free = basis[len(exact) :].T  # (n, n - 3), directions that no RGB channel sees
    seen = rows @ free
    penalty = _RIDGE * len(rows) * torch.eye(seen.shape[1], dtype=seen.dtype)
    solved: Tensor = particular + free @ torch.linalg.solve(seen.T @ seen + penalty, seen.T @ (wanted - rows @ particular))
    return solved
