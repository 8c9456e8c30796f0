"""Captions: an image finds its sentence, and a sentence its image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from geolangbind.instruct.corpus import Corpus
from geolangbind.instruct.row import Row
from geolangbind.instruct.segments_json import key_of
from geolangbind.instruct.wordings import Wordings, pick
from geolangbind.interleaved.segments import Text


def to_text(corpus: Corpus, wordings: Wordings) -> Iterator[Row]:
    """One row per image with captions; all its captions are right."""
    for sample in corpus.samples:
        if captions := sample.meta.captions:
            target = (Text(pick(captions, "captions", sample.id)),)
            right = {key_of([Text(caption)]) for caption in captions}
            instruction = pick(wordings.instructions["captions"], sample.id)
            yield Row(sample.id, instruction, (sample.image,), target, true=frozenset(right - {key_of(target)}), group=sample.modality)


def to_image(corpus: Corpus, wordings: Wordings) -> Iterator[Row]:
    """One row per image with captions; every image with the same sentence is right."""
    shown: dict[str, list[str]] = defaultdict(list)
    for sample in corpus.samples:
        for caption in set(sample.meta.captions):
            shown[caption].append(key_of([sample.image]))
    for sample in corpus.samples:
        if captions := sample.meta.captions:
            # another sentence than the one that the image finds, where there is one
            caption = captions[(captions.index(pick(captions, "captions", sample.id)) + 1) % len(captions)]
            yield Row(
                sample.id,
                pick(wordings.instructions["captions-to-image"], sample.id),
                (Text(caption),),
                (sample.image,),
                pick(wordings.targets["image"], sample.id),
                true=frozenset(shown[caption]) - {key_of([sample.image])},
                group=sample.modality,
            )
