"""Regions: a box finds its words, and words find their box among those of the image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from geolangbind.instruct.corpus import Corpus
from geolangbind.instruct.row import Row
from geolangbind.instruct.wordings import Wordings, pick, pick_some
from geolangbind.interleaved.segments import Text

_NEGATIVES = 7


def to_text(corpus: Corpus, wordings: Wordings) -> Iterator[Row]:
    """One row per box; the words of other boxes of the image are negatives."""
    for sample in corpus.samples:
        words = sorted({text for _, text in sample.boxes})
        for number, (box, text) in enumerate(sample.boxes):
            name = f"{sample.id}#{number}"
            others = pick_some([other for other in words if other != text], _NEGATIVES, name)
            yield Row(
                name,
                pick(wordings.instructions["boxes"], name),
                (sample.image, box),
                (Text(text),),
                negatives=tuple((Text(other),) for other in others),
                group=sample.modality,
            )


def to_region(corpus: Corpus, wordings: Wordings) -> Iterator[Row]:
    """One row per box whose words name no other box of the image; the other boxes are negatives."""
    for sample in corpus.samples:
        times = Counter(text for _, text in sample.boxes)
        for number, (box, text) in enumerate(sample.boxes):
            if times[text] > 1:
                continue
            name = f"{sample.id}#{number}"
            others = pick_some([other for other, _ in sample.boxes if other != box], _NEGATIVES, name)
            yield Row(
                name,
                pick(wordings.instructions["boxes-to-region"], name),
                (sample.image, Text(text)),
                (sample.image, box),
                pick(wordings.targets["region"], name),
                tuple((sample.image, other) for other in others),
                group=sample.modality,
            )
