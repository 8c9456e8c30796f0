"""Scene labels: an image finds the words of its class."""

from __future__ import annotations

from collections.abc import Iterator

from geolangbind.instruct.corpus import Corpus
from geolangbind.instruct.row import Row
from geolangbind.instruct.segments_json import key_of
from geolangbind.instruct.wordings import Wordings, pick
from geolangbind.interleaved.segments import Text


def rows(corpus: Corpus, wordings: Wordings) -> Iterator[Row]:
    """One row per image with a class; all words of all its classes are right."""
    for sample in corpus.samples:
        if not sample.classes:
            continue
        chosen = pick(sample.classes, "labels", sample.id)
        target = (Text(pick(corpus.words(chosen), "label words", sample.id)),)
        right = {key_of([Text(words)]) for name in sample.classes for words in corpus.words(name)}
        instruction = pick(wordings.instructions["labels"], sample.id)
        yield Row(sample.id, instruction, (sample.image,), target, true=frozenset(right - {key_of(target)}), group=sample.modality)
