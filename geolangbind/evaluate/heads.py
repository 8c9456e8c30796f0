"""Heads that turn frozen patch tokens into class maps: one linear layer, and a pyramid after UPerNet (Xiao et al. 2018, arXiv 1807.10221).

Both take maps of patch features, coarse and all of one size, as a plain ViT gives them, standardised per channel.
Shapes: B batch, D width of the features, K classes, h w the grid of patches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_POOLED = (1, 2, 3, 6)  # sides of the pooling pyramid (Zhao et al. 2017, arXiv 1612.01105)
_LEVELS = 4


class LinearHead(nn.Module):
    """A 1x1 convolution on the last map."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.classify = nn.Conv2d(features, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits (B, K, h, w) of maps (B, D, h, w), the last of which counts."""
        logits: Tensor = self.classify(maps[-1])
        return logits


class UPerHead(nn.Module):
    """A feature pyramid, pooled at its coarsest level, fused from coarse to fine.

    The four levels are 4, 2, 1 and 1/2 times as fine as the patches: transposed convolutions of stride 2, the map itself, a maximum
    of 2 x 2. They come from four layers, the earliest the finest, or all from one, and are brought to the head's width before anything
    else, so that the width sets the cost. Norms are over groups of channels, so that small batches do.
    """

    def __init__(self, features: int, classes: int, width: int = 512) -> None:
        """Make the head.

        Args:
            features: D.
            classes: K.
            width: channels of every level; 512 as is usual.
        """
        super().__init__()

        def twice() -> nn.Module:
            return nn.ConvTranspose2d(width, width, 2, stride=2)

        self.lateral = nn.ModuleList(_conv(features, width, 1) for _ in range(_LEVELS))
        finest = nn.Sequential(twice(), _norm(width), nn.GELU(), twice())
        self.scale = nn.ModuleList([finest, twice(), nn.Identity(), nn.MaxPool2d(2, ceil_mode=True)])
        self.pooled = nn.ModuleList(nn.Sequential(nn.AdaptiveAvgPool2d(side), _conv(width, width, 1)) for side in _POOLED)
        self.coarsest = _conv((1 + len(_POOLED)) * width, width, 3)
        self.smooth = nn.ModuleList(_conv(width, width, 3) for _ in range(_LEVELS - 1))
        self.fuse = _conv(_LEVELS * width, width, 3)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits (B, K, 4h, 4w) of one or four maps (B, D, h, w), from early to late layers."""
        maps = maps if len(maps) == _LEVELS else [maps[-1]] * _LEVELS
        levels = [scale(lateral(level)) for scale, lateral, level in zip(self.scale, self.lateral, maps, strict=True)]
        top = levels[-1]
        fused = self.coarsest(torch.cat([top, *(_resized(pool(top), top) for pool in self.pooled)], dim=1))
        outs = [fused]
        for level, smooth in zip(levels[-2::-1], self.smooth, strict=True):
            fused = level + _resized(fused, level)
            outs.insert(0, smooth(fused))
        logits: Tensor = self.classify(self.fuse(torch.cat([_resized(out, outs[0]) for out in outs], dim=1)))
        return logits


def to_pixels(scores: Tensor, grid: tuple[int, int], stride: int | None, shape: tuple[int, int]) -> Tensor:
    """Bring scores of patches to the pixels of the image, bilinearly.

    Args:
        scores: (B, K, ., .) float, over the area of the grid.
        grid: rows and columns of patches.
        stride: pixels between neighbouring patches; None where the grid spans the image.
        shape: height and width of the image in pixels.

    Returns:
        (B, K, H, W); pixels beyond the last whole patch repeat the edge, a patch that reaches beyond the image is cut.
    """
    covered = shape if stride is None else (grid[0] * stride, grid[1] * stride)
    scores = F.interpolate(scores, covered, mode="bilinear", align_corners=False)[:, :, : shape[0], : shape[1]]
    return F.pad(scores, (0, shape[1] - scores.shape[3], 0, shape[0] - scores.shape[2]), mode="replicate")


def _conv(inside: int, outside: int, side: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, side, padding=side // 2, bias=False), _norm(outside), nn.ReLU())


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(8, width), width)


def _resized(level: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(level, like.shape[2:], mode="bilinear", align_corners=False)
