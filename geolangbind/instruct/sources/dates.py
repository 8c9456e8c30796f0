"""Dated pairs: two images of one place and sensor find the words for what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from geolangbind.captions.grammar import counted, listing, some
from geolangbind.instruct.corpus import Corpus, Seen
from geolangbind.instruct.row import Row
from geolangbind.instruct.segments_json import key_of
from geolangbind.instruct.wordings import Wordings, pick
from geolangbind.interleaved.segments import Text

_NO_CHANGE = "nothing changed"


def rows(corpus: Corpus, wordings: Wordings) -> Iterator[Row]:
    """One row per two neighbouring dates; the sentences of the label `changes` of the later image, else what labels and boxes say.

    Negatives are the change the other way round and no change at all.
    """
    for seen in corpus.by_place.values():
        for modality in sorted({sample.modality for sample in seen}):
            dated = [sample for sample in seen if sample.modality == modality and sample.meta.datetime]
            for before, after in pairwise(sorted(dated, key=lambda sample: (sample.meta.datetime or "", sample.id))):
                if before.meta.datetime == after.meta.datetime or before.meta.sensor != after.meta.sensor:
                    continue
                sentences = _told(after) or changes(corpus, before, after)
                if not sentences:
                    continue
                target = pick(sentences, "dates", after.id)
                wrong = [*changes(corpus, after, before)[:1], _NO_CHANGE]
                yield Row(
                    f"{before.id}>{after.stored.key}",
                    pick(wordings.instructions["dates"], after.id),
                    (before.image, after.image),
                    (Text(target),),
                    negatives=tuple((Text(words),) for words in dict.fromkeys(wrong) if words not in sentences),
                    true=frozenset(key_of([Text(words)]) for words in sentences if words != target),
                    group=modality,
                )


def changes(corpus: Corpus, before: Seen, after: Seen) -> list[str]:
    """Return sentences on what the labels and boxes of two images differ in; none where they say nothing."""
    if not (before.classes and after.classes) and not (before.boxes and after.boxes):
        return []
    gone, new = (
        [some(corpus.words(name)[0]) for name in one.classes if name not in other.classes] if before.classes and after.classes else []
        for one, other in ((before, after), (after, before))
    )
    if gone and new:
        said = [f"{listing(gone)} became {listing(new)}", f"{listing(new)} where {listing(gone)} was"]
    elif gone or new:
        said = [f"{listing(new)} appeared" if new else f"{listing(gone)} disappeared"]
    else:
        said = []
    if before.boxes and after.boxes:
        said += _counts(before, after)
    return said or [_NO_CHANGE]


def _counts(before: Seen, after: Seen) -> list[str]:
    had, has = (Counter(text for _, text in sample.boxes) for sample in (before, after))
    more = [counted(count, text) for text, count in sorted((has - had).items())]
    less = [counted(count, text) for text, count in sorted((had - has).items())]
    found = [f"{listing(more)} appeared"] if more else []
    return [*found, f"{listing(less)} disappeared"] if less else found


def _told(sample: Seen) -> list[str]:
    told = sample.meta.labels.get("changes")
    return [words for words in told if isinstance(words, str) and words] if isinstance(told, list) else []
