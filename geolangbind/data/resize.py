"""Images of a user that are larger than what the model was trained on, brought down to it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

WHOLE = 1.5
"""An image up to this many times the model's size is looked at as it is."""


def shrunk_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width with `size` pixels on the longer side and the same proportions; unchanged up to `WHOLE` times as many."""
    longer = max(height, width)
    if longer <= WHOLE * size:
        return height, width
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


def average_to(image: Tensor, valid: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Average images down to (height, width) pixels; each is the mean of the valid ones it covers.

    Args:
        image: (B, C, H, W).
        valid: (B, H, W) bool.
        height: at most H.
        width: at most W.

    Returns:
        Images and which of their pixels cover a valid one.
    """
    if image.shape[-2:] == (height, width):
        return image, valid
    weight = F.adaptive_avg_pool2d(valid[:, None].float(), (height, width))
    mean = F.adaptive_avg_pool2d(image * valid[:, None], (height, width)) / weight.clamp_min(1e-6)
    return mean, (weight > 0)[:, 0]
