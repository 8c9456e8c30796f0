"""Rendered sequences and batches of them: what the model takes. Made by `render.py` and `collate.py`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from geolangbind.sensors.channels import ChannelSet


class Slot(IntEnum):
    """What stands at a position: a token of the vocabulary, or something computed that takes its place."""

    TEXT = 0
    IMAGE = 1
    REGION = 2
    PLACE = 3


@dataclass(frozen=True)
class Region:
    """A box as shares of its image: 0 <= x0 < x1 <= 1; `image` counts the images of its prompt."""

    image: int
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Prompt:
    """One rendered sequence.

    Attributes:
        ids: token ids, the end-of-sequence token last; filler ids where `slots` is not TEXT.
        slots: a `Slot` per position.
        grids: (rows, columns) of tokens that each image takes after the projector, in reading order.
        regions: the boxes, in the order of their REGION positions.
        places: (latitude, longitude) in degrees, in the order of the PLACE positions.
        text: the prompt for people and golden files, e.g. `<image 8x8> What is in <box ...>`.
    """

    ids: tuple[int, ...]
    slots: tuple[int, ...]
    grids: tuple[tuple[int, int], ...]
    regions: tuple[Region, ...]
    places: tuple[tuple[float, float], ...]
    text: str


@dataclass(frozen=True, eq=False)
class ImageGroup:
    """Images of one channel set and size, each once however often the batch refers to it.

    Attributes:
        channels: of the images; None where `features` are given.
        pixels: (n, C, H, W) float32, normalised as the tower's checkpoint says; None where `features` are given.
        valid: (n, H, W) bool, or None.
        features: (n, rows, columns, F) vision features from the cache, or None.
    """

    channels: ChannelSet | None = None
    pixels: Tensor | None = None
    valid: Tensor | None = None
    features: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Prompts:
    """A batch of B prompts, padded on the right to length L.

    Attributes:
        ids: (B, L) int64.
        mask: (B, L) bool, True for tokens, False for padding.
        slots: (B, L) int64, see `Slot`.
        groups: the images; their number is the place in the groups laid end to end.
        images: (U,) int64, which image each use of one shows, in reading order over the batch.
        regions: (R, 5) float32: image number, x0, y0, x1, y1, in reading order of the REGION positions.
        places: (P, 2) float32 latitude and longitude in degrees, in reading order of the PLACE positions.
    """

    ids: Tensor
    mask: Tensor
    slots: Tensor
    groups: tuple[ImageGroup, ...]
    images: Tensor
    regions: Tensor
    places: Tensor

    def to(self, device: torch.device) -> Prompts:
        """The batch on another device."""
        groups = tuple(replace(group, **_moved(group, device)) for group in self.groups)
        return replace(self, groups=groups, **_moved(self, device))


def _moved(batch: ImageGroup | Prompts, device: torch.device) -> dict[str, Any]:
    held = {entry.name: getattr(batch, entry.name) for entry in fields(batch)}
    return {name: value.to(device) for name, value in held.items() if isinstance(value, Tensor)}
