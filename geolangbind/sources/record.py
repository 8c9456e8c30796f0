"""What a reader says about one sample before its pixels are read, and what its pixels turn out to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolangbind.captions import Caption
from geolangbind.data.sample import Box


@dataclass(frozen=True, slots=True)
class Item:
    """A sample inside something larger than a file: number `number` of what `open_items` of the same reader opens.

    Attributes:
        reader: the reader that can open it.
        root: folder of the source.
        spec: as in the card.
        options: as in the card, for the split it belongs to.
        number: place in the opened thing.
        file: the file that holds the pixels, whose change makes the sample another one; the root if None.
    """

    reader: str
    root: Path
    spec: str
    options: Mapping[str, Any]
    number: int
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One sample of a source.

    Attributes:
        place: identity of the sample within its view, the same in every view that shows the place; any text.
        image: a raster (file, folder of bands, STAC item), or an item to be opened.
        split: train, validation or test as the source says, or None.
        classes: class names, as the card spells them.
        captions: those the source gives.
        boxes: regions, their text a class name or a phrase.
        mask: file of class numbers per pixel, or None.
        mask_colors: class number and colour of the classes, where the mask is a coloured picture.
        mask_values: stored number and class number, where the stored ones are codes or do not fit 8 bits; others become 0.
        channels: names of all stored channels, where the image does not name them.
        stack: further rasters whose channels follow those of the image.
        tags: key=value facts, as OpenStreetMap has them.
    """

    place: str
    image: Path | Item
    split: str | None = None
    classes: tuple[str, ...] = ()
    captions: tuple[Caption, ...] = ()
    boxes: tuple[Box, ...] = ()
    mask: Path | None = None
    mask_colors: tuple[tuple[int, tuple[int, int, int]], ...] = ()
    mask_values: tuple[tuple[int, int], ...] = ()
    channels: tuple[str, ...] = ()
    stack: tuple[Path, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Content:
    """What opening an `Item` gives: stored numbers, and the facts that only the opened thing knows.

    Attributes:
        image: stored numbers (C, H, W), in the order of the view's bands.
        mask: class numbers (H, W) uint8, or None.
        classes: class names.
        captions: those the source gives.
        boxes: regions.
        bounds_wgs84: west, south, east, north in degrees, or None.
        datetime: acquisition time, ISO 8601, or None.
    """

    image: NDArray[Any]
    mask: NDArray[np.uint8] | None = None
    classes: tuple[str, ...] = ()
    captions: tuple[Caption, ...] = ()
    boxes: tuple[Box, ...] = ()
    bounds_wgs84: tuple[float, float, float, float] | None = None
    datetime: str | None = None
