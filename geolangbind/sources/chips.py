"""Cut or resize what a source holds into the chips that go into shards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geolangbind.data.sample import Box

_KEPT_SHARE = 0.5
"""A box stays with a window that shows at least half of it."""


@dataclass(frozen=True, eq=False)
class Chip:
    """Stored pixels of one chip and what moves with them.

    Attributes:
        image: stored numbers (C, H, W).
        mask: class numbers uint8 (H, W), or None.
        boxes: regions in pixels of the chip.
        gsd_m: metres per pixel, None if unknown.
    """

    image: NDArray[Any]
    mask: NDArray[np.uint8] | None
    boxes: tuple[Box, ...]
    gsd_m: float | None


def window_boxes(boxes: Sequence[Box], window: tuple[int, int, int, int]) -> tuple[Box, ...]:
    """Return the boxes that a window (column, row, width, height) shows at least half of, cut to it, in its pixels."""
    column, row, width, height = window
    kept = []
    for box in boxes:
        x0, y0, x1, y1 = box.xyxy
        cut = (max(x0 - column, 0.0), max(y0 - row, 0.0), min(x1 - column, float(width)), min(y1 - row, float(height)))
        shown = max(cut[2] - cut[0], 0.0) * max(cut[3] - cut[1], 0.0)
        if shown > 0 and shown >= _KEPT_SHARE * (x1 - x0) * (y1 - y0):
            kept.append(Box(cut, box.text))
    return tuple(kept)


def squash(chip: Chip, size_px: int, nodata: float | None) -> Chip:
    """Resize a chip to a square: pixels with an antialiased bicubic filter (as SigLIP's preprocessing), masks to the nearest.

    Pixels that touch no-data become no-data. Integer types are rounded and held inside their range.
    """
    height, width = chip.image.shape[1:]
    if (height, width) == (size_px, size_px):
        return chip
    values = chip.image.astype(np.float32)
    hole: NDArray[np.bool_] = np.zeros((height, width), np.bool_)
    if nodata is not None:
        hole = np.asarray(np.isnan(values) if math.isnan(nodata) else chip.image == nodata).any(axis=0)
        values[:, hole] = 0
    resized = np.stack([_resize(channel, size_px, Image.Resampling.BICUBIC) for channel in values])
    if hole.any():
        touched = _resize(hole.astype(np.float32), size_px, Image.Resampling.BILINEAR) > 0
        resized[:, touched] = nodata
    if chip.image.dtype.kind in "ui":
        limits = np.iinfo(chip.image.dtype)
        resized = np.clip(np.rint(resized), limits.min, limits.max)
    across, down = size_px / width, size_px / height
    boxes = tuple(
        replace(box, xyxy=(box.xyxy[0] * across, box.xyxy[1] * down, box.xyxy[2] * across, box.xyxy[3] * down)) for box in chip.boxes
    )
    mask = None if chip.mask is None else np.asarray(_resize(chip.mask, size_px, Image.Resampling.NEAREST), dtype=np.uint8)
    gsd_m = None if chip.gsd_m is None else chip.gsd_m / math.sqrt(across * down)
    return Chip(resized.astype(chip.image.dtype), mask, boxes, gsd_m)


def _resize(plane: NDArray[Any], size_px: int, how: Image.Resampling) -> NDArray[Any]:
    return np.asarray(Image.fromarray(plane).resize((size_px, size_px), how))
