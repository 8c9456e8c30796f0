"""Prompts and their images to a batch: padded ids, and every distinct image once, grouped by what the tower takes in one go."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from geolangbind.errors import DataError
from geolangbind.interleaved.prompts import ImageGroup, Prompt, Prompts
from geolangbind.sensors.channels import ChannelSet


@dataclass(frozen=True, eq=False)
class ImageRef:
    """One use of an image in a prompt: pixels and channels, or features from the cache.

    Attributes:
        key: identity of the image; equal keys are encoded once per batch.
        group: what images must share to be encoded together: channel set and size.
        pixels: (C, H, W) float32, normalised as the tower's checkpoint says.
        channels: of the pixels.
        valid: (H, W) bool, or None where every pixel is.
        features: (rows, columns, F) vision features.
    """

    key: Hashable
    group: Hashable
    pixels: Tensor | None = None
    channels: ChannelSet | None = None
    valid: Tensor | None = None
    features: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.pixels is None) == (self.features is None) or (self.pixels is None) != (self.channels is None):
            raise DataError(f"image {self.key!r:.80} needs either pixels and channels, or features")


def collate(prompts: Sequence[Prompt], images: Sequence[Sequence[ImageRef]], pad_id: int) -> Prompts:
    """Lay prompts and their images out as a batch.

    Args:
        prompts: B rendered prompts.
        images: for each prompt its images in reading order.
        pad_id: fills short prompts, on the right.

    Raises:
        DataError: another number of images than a prompt has, or images of one group that differ in channels or size.
    """
    for row, (prompt, refs) in enumerate(zip(prompts, images, strict=True)):
        if len(refs) != len(prompt.grids):
            raise DataError(f"prompt {row} has {len(prompt.grids)} images, but {len(refs)} were given")
    distinct: dict[Hashable, ImageRef] = {}
    for ref in chain.from_iterable(images):
        distinct.setdefault(ref.key, ref)
    members: dict[Hashable, list[ImageRef]] = {}
    for ref in distinct.values():
        members.setdefault(ref.group, []).append(ref)
    number = {ref.key: place for place, ref in enumerate(chain.from_iterable(members.values()))}

    lengths = np.fromiter((len(prompt.ids) for prompt in prompts), np.int64, len(prompts))
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    regions = [
        (number[refs[region.image].key], region.x0, region.y0, region.x1, region.y1)
        for prompt, refs in zip(prompts, images, strict=True)
        for region in prompt.regions
    ]
    places = [place for prompt in prompts for place in prompt.places]
    return Prompts(
        ids=_padded((prompt.ids for prompt in prompts), mask, pad_id),
        mask=torch.from_numpy(mask),
        slots=_padded((prompt.slots for prompt in prompts), mask, 0),
        groups=tuple(map(_group, members.values())),
        images=torch.tensor([number[ref.key] for refs in images for ref in refs], dtype=torch.int64),
        regions=torch.tensor(regions, dtype=torch.float32).reshape(-1, 5),
        places=torch.tensor(places, dtype=torch.float32).reshape(-1, 2),
    )


def _padded(rows: Iterable[Sequence[int]], mask: np.ndarray, fill: int) -> Tensor:
    filled = np.full(mask.shape, fill, np.int64)
    filled[mask] = np.fromiter(chain.from_iterable(rows), np.int64)
    return torch.from_numpy(filled)


def _group(refs: Sequence[ImageRef]) -> ImageGroup:
    first = refs[0]
    if len({(ref.channels, _shape(ref.pixels), _shape(ref.features)) for ref in refs}) > 1:
        raise DataError(f"images of group {first.group!r:.120} differ in channels or size")
    pixels = [ref.pixels for ref in refs if ref.pixels is not None]
    if not pixels:
        return ImageGroup(features=torch.stack([ref.features for ref in refs if ref.features is not None]))
    valid = None
    if any(ref.valid is not None for ref in refs):
        everywhere = torch.ones(pixels[0].shape[-2:], dtype=torch.bool)
        valid = torch.stack([everywhere if ref.valid is None else ref.valid for ref in refs])
    return ImageGroup(first.channels, torch.stack(pixels), valid)


def _shape(tensor: Tensor | None) -> torch.Size | None:
    return None if tensor is None else tensor.shape
