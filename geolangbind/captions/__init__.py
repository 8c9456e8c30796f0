"""Sentences about images from what is known of them: class labels, boxes, masks, land cover, map tags. Each says where it comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence and its provenance.

    Attributes:
        text: the sentence.
        source: what made it: `given:<file>` for captions of the source, `<rule>/<version>` for templates, `joined:<file>` for others.
    """

    text: str
    source: str
