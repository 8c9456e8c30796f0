"""What captions are made from, and what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geolangbind.data.sample import Box


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence and its provenance.

    Attributes:
        text: the sentence.
        source: what made it, see the package's docstring.
    """

    text: str
    source: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Facts:
    """What is known about one image. Words are English nouns, phrases like "ship with containers" too; an article of their own is kept.

    Attributes:
        modality: rgb, sar, msi, hsi, ir or dem.
        shape: height and width in pixels.
        gsd_m: metres per pixel; None if unknown, and then no size is named.
        carrier: "satellite" or "aerial" where known, so that an image may be called so.
        classes: words of the classes of the whole image.
        boxes: regions in pixels; those without text, without area or outside the image are passed over.
        mask: class numbers (H, W), or None.
        mask_words: words by class number; numbers absent from it are "not labelled". Mass nouns and plurals read best.
        tags: OpenStreetMap's key=value facts about what the image is centred on.
    """

    modality: str
    shape: tuple[int, int]
    gsd_m: float | None = None
    carrier: str | None = None
    classes: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    mask: NDArray[np.uint8] | None = None
    mask_words: Mapping[int, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Statement:
    """One thing that can be said: a form of the rule's template file, and the words for the form's slots."""

    form: str
    slots: Mapping[str, str]
