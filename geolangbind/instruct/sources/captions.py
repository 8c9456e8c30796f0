"""Captions: an image finds its sentence, and a sentence its image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from geolangbind.instruct.corpus import Corpus, Seen
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
    """One row per image with captions, for the one that fewest images share; every image with that sentence is right.

    Targets are known by their sentence: a list of all images that a common sentence fits would grow with the square of the data.
    """
    shared = Counter(caption for sample in corpus.samples for caption in set(sample.meta.captions))
    chosen = {sample.id: _rarest(sample, shared) for sample in corpus.samples if sample.meta.captions}
    fitting: dict[str, set[str]] = {caption: set() for caption in chosen.values()}
    for sample in corpus.samples:
        for caption in fitting.keys() & set(sample.meta.captions):
            fitting[caption].add(_key(chosen[sample.id]))
    for sample in corpus.samples:
        if sample.id in chosen:
            caption = chosen[sample.id]
            yield Row(
                sample.id,
                pick(wordings.instructions["captions-to-image"], sample.id),
                (Text(caption),),
                (sample.image,),
                pick(wordings.targets["image"], sample.id),
                target_key=_key(caption),
                true=frozenset(fitting[caption]) - {_key(caption)},
                group=sample.modality,
            )


def _rarest(sample: Seen, shared: Mapping[str, int]) -> str:
    fewest = min(shared[caption] for caption in sample.meta.captions)
    return pick([caption for caption in sample.meta.captions if shared[caption] == fewest], "captions-to-image", sample.id)


def _key(caption: str) -> str:
    return f"image of: {caption}"
