"""MaKA projectors: student tokens to the feature space of a frozen teacher, conditioned on the wavelengths.

Modality-aware knowledge agglomeration of GeoLangBind (arXiv 2503.06312): a layer norm over the whole feature map whose scale and shift
are driven by a wavelength prompt, then one 3x3 convolution to the teacher's width. Parameter names are those of the published
training checkpoints. Note the published scale of the prompt: raw µm here, 1000 x µm in the patch embedding.

Shapes: B batch, C channels, N student tokens, D student width, T teacher width, g teacher grid.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geolangbind.models.wavelength import CODE_DIM, sincos_code
from geolangbind.sensors.channels import KINDS, ChannelSet


class WavelengthPrompt(nn.Module):
    """One vector for a channel set: the mean over channels of a projected code."""

    def __init__(self, kinds: bool) -> None:
        super().__init__()
        self.proj = nn.Linear(CODE_DIM, CODE_DIM)
        self.kind_code = nn.Parameter(0.5 * torch.randn(len(KINDS), CODE_DIM)) if kinds else None

    def forward(self, channels: ChannelSet) -> Tensor:
        """Return the prompt (1, 128)."""
        code = sincos_code(torch.tensor(channels.wavelengths_um, dtype=torch.float32, device=self.proj.weight.device))
        if self.kind_code is not None and channels.kinds is not None:
            code = code + self.kind_code[[KINDS.index(kind) for kind in channels.kinds]]
        prompt: Tensor = self.proj(code).mean(0, keepdim=True)
        return prompt


class ConditionalLayerNorm(nn.Module):
    """Layer norm over a (D, g, g) map, then scale 1 + gamma and shift beta from a prompt, per channel."""

    def __init__(self, width: int, grid: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm((width, grid, grid))
        self.modality_prompt_fc = nn.Linear(CODE_DIM, 2 * width)

    def forward(self, features: Tensor, prompt: Tensor) -> Tensor:
        """Normalise (B, D, g, g) under a prompt (1, 128)."""
        gamma, beta = self.modality_prompt_fc(prompt)[..., None, None].chunk(2, dim=1)
        normed: Tensor = self.layer_norm(features) * (1 + gamma) + beta
        return normed


def pool_tokens(tokens: Tensor, factor: int) -> Tensor:
    """Average square blocks of factor x factor tokens, the spatial pooling of the paper's figure; the published code has none.

    Args:
        tokens: (B, N, D) of a square grid of side g.
        factor: 1 changes nothing. Where it does not divide g, blocks overlap by a token, so that all count.

    Returns:
        (B, n, D), n = max(1, g // factor)^2.
    """
    if factor == 1:
        return tokens
    side = math.isqrt(tokens.shape[1])
    grid = tokens.transpose(1, 2).unflatten(2, (side, side))
    return F.adaptive_avg_pool2d(grid, pooled_side(side, factor)).flatten(2).transpose(1, 2)


def pooled_side(side: int, factor: int) -> int:
    """Tokens along one side after `pool_tokens`."""
    return max(1, side // factor)


class Projector(nn.Module):
    """Student tokens to one teacher's tokens.

    Args:
        width: student width D.
        teacher_width: teacher width T.
        grid: teacher tokens along one side.
        kinds: the prompt also knows physical kinds (radar and elevation have no wavelength); off for published weights.
    """

    def __init__(self, width: int, teacher_width: int, grid: int, *, kinds: bool = True) -> None:
        super().__init__()
        self.grid = grid
        self.wave_encoder = WavelengthPrompt(kinds)
        self.norm1 = ConditionalLayerNorm(width, grid)
        self.conv1 = nn.Conv2d(width, teacher_width, 3, padding=1)

    def forward(self, tokens: Tensor, channels: ChannelSet) -> Tensor:
        """Project (B, N, D) tokens of a square grid to (B, g*g, T); the grid is resized to the teacher's by nearest neighbour."""
        side = math.isqrt(tokens.shape[1])
        features = tokens.transpose(1, 2).unflatten(2, (side, -1))
        if side != self.grid:
            features = F.interpolate(features, size=(self.grid, self.grid), mode="nearest")
        projected: Tensor = self.conv1(self.norm1(features, self.wave_encoder(channels)))
        return projected.flatten(2).transpose(1, 2)
