"""Random crops of a batch: image, valid pixels, masks and stored teacher tokens are cut to the same box and brought back to their size.

Teachers that are asked during training look at the cropped image; tokens stored beside the shards are read off their own grid at the
crop's coordinates. Both then describe the same ground, up to what a teacher sees beyond the box.

Shapes: B batch, C channels, H W pixels, N = g x g tokens, D width.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from geolangbind.data.batch import Batch
from geolangbind.data.buffers import Buffers
from geolangbind.data.transforms import Share

_BUFFERS = Buffers(2)


def crop_batch(batch: Batch, least: float, generator: torch.Generator, share: Share | None = None) -> Batch:
    """Cut one random box out of each image and enlarge it to the image's size.

    A box has the image's proportions, an area drawn evenly between `least` and 1 and a place drawn evenly. Images and tokens are
    resampled bilinearly (pixels without data take no part), valid pixels and masks by nearest neighbour. Where a box holds no valid pixel
    the image stays whole.

    Args:
        batch: this process's samples.
        least: smallest share of the area; 0 leaves the batch as it is and draws nothing.
        generator: source of all randomness, on the CPU.
        share: which rows of the whole batch these are; None for all.
    """
    if not least:
        return batch
    share = share or Share.of(len(batch))
    boxes = draw_boxes(share.total, least, generator)[list(share.rows)].to(batch.image.device)
    valid = batch.valid
    if valid is not None:
        empty = ~_nearest(valid, boxes).flatten(1).any(1)
        boxes = torch.where(empty[:, None], boxes.new_tensor((0.0, 0.0, 1.0)), boxes)
    image = crop_planes(batch.image if valid is None else batch.image * valid[:, None], boxes)
    if valid is not None:
        kept = _nearest(valid, boxes)
        weight = crop_planes(valid[:, None].to(image.dtype), boxes)
        # a quarter of a kept pixel's weight at least comes from its nearest neighbour, which is valid
        image, valid = torch.where(kept[:, None], image / weight.clamp_min(0.1), 0.0), kept
    masks = None if batch.masks is None else _nearest(batch.masks, boxes)
    features = {name: crop_tokens(tokens, boxes) for name, tokens in batch.features.items()}
    return replace(batch, image=image, valid=valid, masks=masks, features=features)


def draw_boxes(count: int, least: float, generator: torch.Generator) -> Tensor:
    """Boxes (count, 3) float32: left, top and side, as shares of the image's sides."""
    area, left, top = torch.rand((count, 3), generator=generator).unbind(1)
    side = (least + (1 - least) * area).sqrt()
    return torch.stack([left * (1 - side), top * (1 - side), side], dim=1)


def crop_planes(planes: Tensor, boxes: Tensor, mode: str = "bilinear") -> Tensor:
    """Resample (B, C, H, W) float planes inside boxes (B, 3) to (B, C, H, W); a box that is the whole image changes nothing.

    Pixels are areas: the centre of pixel i lies at (i + 0.5) / W, on any grid. Half a pixel along the border repeats it.
    """
    left, top, side = boxes.to(planes.dtype).unbind(1)
    zero = torch.zeros_like(side)
    # grid_sample counts from -1 to 1 over the whole image
    across = torch.stack([side, zero, 2 * left + side - 1], dim=1)
    down = torch.stack([zero, side, 2 * top + side - 1], dim=1)
    grid = F.affine_grid(torch.stack([across, down], dim=1), list(planes.shape), align_corners=False)
    sample = partial(F.grid_sample, mode=mode, padding_mode="border", align_corners=False)
    if planes.device.type != "cpu":
        return torch.where((side == 1)[:, None, None, None], planes, sample(planes, grid))
    # image by image into memory used before: the first touch of new memory for 200 bands takes longer than the arithmetic
    out = torch.from_numpy(_BUFFERS.take(tuple(planes.shape), planes.numpy().dtype))
    for number, whole in enumerate((side == 1).tolist()):
        one = slice(number, number + 1)
        out[one] = planes[one] if whole else sample(planes[one], grid[one])
    return out


def crop_tokens(tokens: Tensor, boxes: Tensor) -> Tensor:
    """Tokens (B, N, D) of a square grid, read bilinearly at the places that the tokens of the cropped image would have; float32."""
    side = math.isqrt(tokens.shape[1])
    grid = tokens.float().transpose(1, 2).reshape(len(tokens), -1, side, side)
    return crop_planes(grid, boxes).flatten(2).transpose(1, 2)


def _nearest(planes: Tensor, boxes: Tensor) -> Tensor:
    """Crop (B, H, W) classes or flags; small integers are exact in float32."""
    return crop_planes(planes[:, None].float(), boxes, "nearest")[:, 0].to(planes.dtype)
