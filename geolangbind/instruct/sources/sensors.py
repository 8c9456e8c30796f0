"""Two sensors of one place in one query: both images find a sentence about it."""

from __future__ import annotations

from collections.abc import Iterator

from geolangbind.instruct.corpus import Corpus
from geolangbind.instruct.row import Row
from geolangbind.instruct.segments_json import key_of
from geolangbind.instruct.wordings import Wordings, pick
from geolangbind.interleaved.segments import Text


def rows(corpus: Corpus, wordings: Wordings) -> Iterator[Row]:
    """One row per image of a place that another modality saw too; the captions of both images are right."""
    for sample in corpus.samples:
        others = [other for other in corpus.by_place[sample.place] if other.modality != sample.modality]
        if not others:
            continue
        other = pick(others, "sensors", sample.id)
        captions = list(dict.fromkeys((*sample.meta.captions, *other.meta.captions)))
        if captions:
            target = (Text(pick(captions, "sensor captions", sample.id)),)
            right = {key_of([Text(caption)]) for caption in captions}
            yield Row(
                sample.id,
                pick(wordings.instructions["sensors"], sample.id),
                (sample.image, other.image),
                target,
                true=frozenset(right - {key_of(target)}),
                group=f"{sample.modality}+{other.modality}",
            )
