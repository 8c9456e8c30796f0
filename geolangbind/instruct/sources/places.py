"""Coordinates: an image finds its place, and a place with a concept finds its image."""

from __future__ import annotations

from collections.abc import Iterator

from geolangbind.instruct.corpus import Corpus, Seen
from geolangbind.instruct.row import Row
from geolangbind.instruct.segments_json import key_of
from geolangbind.instruct.wordings import Wordings, pick, pick_some
from geolangbind.interleaved.segments import Text

_NEGATIVES = 4
"""Places, and images, of the same class elsewhere: who knows only what such scenes look like cannot tell them apart."""


def to_point(corpus: Corpus, wordings: Wordings) -> Iterator[Row]:
    """One row per image with coordinates; the points of other images of the place are right too."""
    for sample in corpus.samples:
        if (point := sample.point) is None:
            continue
        here = {key_of([other.point]) for other in corpus.by_place[sample.place] if other.point is not None}
        elsewhere = [other.point for other in _elsewhere(corpus, sample) if other.point is not None and key_of([other.point]) not in here]
        yield Row(
            sample.id,
            pick(wordings.instructions["places"], sample.id),
            (sample.image,),
            (point,),
            negatives=tuple((other,) for other in elsewhere),
            true=frozenset(here - {key_of([point])}),
            group=sample.modality,
        )


def to_image(corpus: Corpus, wordings: Wordings) -> Iterator[Row]:
    """One row per image with coordinates and a class; other images of the place with that class are right too."""
    for sample in corpus.samples:
        if (point := sample.point) is None or not sample.classes:
            continue
        chosen = pick(sample.classes, "places", sample.id)
        here = {key_of([other.image]) for other in corpus.by_place[sample.place] if chosen in other.classes}
        yield Row(
            sample.id,
            pick(wordings.instructions["places-to-image"], sample.id),
            (point, Text(pick(corpus.words(chosen), "place words", sample.id))),
            (sample.image,),
            pick(wordings.targets["image"], sample.id),
            tuple((other.image,) for other in _elsewhere(corpus, sample)),
            true=frozenset(here - {key_of([sample.image])}),
            group=sample.modality,
        )


def _elsewhere(corpus: Corpus, sample: Seen) -> list[Seen]:
    if not sample.classes:
        return []
    others = pick_some(corpus.by_class[sample.modality, sample.classes[0]], _NEGATIVES + 1, sample.id)
    return [other for other in others if other.place != sample.place][:_NEGATIVES]
