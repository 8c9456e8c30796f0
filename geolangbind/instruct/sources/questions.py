"""Questions about an image with short answers, from its labels and boxes; other answers are the negatives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from geolangbind.captions.grammar import number, plural, some
from geolangbind.instruct.corpus import Corpus, Seen
from geolangbind.instruct.row import Row
from geolangbind.instruct.segments_json import key_of
from geolangbind.instruct.wordings import Wordings, draw, pick, pick_some
from geolangbind.interleaved.segments import Text

_NEGATIVES = 3


@dataclass(frozen=True)
class _Question:
    """Words for the slots of a kind of question, its answer, other words for the answer, and wrong answers."""

    slots: dict[str, str]
    answer: str
    also: Sequence[str] = ()
    wrong: Sequence[str] = ()


def rows(corpus: Corpus, wordings: Wordings) -> Iterator[Row]:
    """One row per image and kind of question that its facts answer."""
    for sample in corpus.samples:
        for kind, ask in _KINDS.items():
            if (asked := ask(corpus, sample)) is None:
                continue
            name = f"{sample.id}#{kind}"
            yield Row(
                name,
                pick(wordings.instructions["questions"], name),
                (sample.image, Text(pick(wordings.texts[kind], "question", name).format(**asked.slots))),
                (Text(asked.answer),),
                negatives=tuple((Text(words),) for words in asked.wrong),
                true=frozenset(key_of([Text(words)]) for words in asked.also if words != asked.answer),
                group=kind,
            )


def _presence(corpus: Corpus, sample: Seen) -> _Question | None:
    present, known = set(sample.classes), corpus.listed_classes
    if sample.boxes:
        present, known = {text for _, text in sample.boxes}, corpus.things
    elif not sample.lists_classes:
        return None
    yes = draw("presence", sample.id) % 2 == 0
    options = sorted(present & known) if yes else sorted(known - present)
    if not options:
        return None
    chosen = pick(options, "present", sample.id)
    thing = some(chosen if sample.boxes else corpus.words(chosen)[0])
    return _Question({"thing": thing}, *(("yes", (), ("no",)) if yes else ("no", (), ("yes",))))


def _count(corpus: Corpus, sample: Seen) -> _Question | None:
    counts = _counts(corpus, sample)
    if not counts:
        return None
    chosen = pick(sorted(counts), "count", sample.id)
    count = counts[chosen]
    wrong = [number(other) for other in (count - 1, count + 1, count + 2) if other > 0]
    return _Question({"things": plural(chosen)}, number(count), wrong=wrong)


def _comparison(corpus: Corpus, sample: Seen) -> _Question | None:
    counts = _counts(corpus, sample)
    unequal = [(one, other) for one in sorted(counts) for other in sorted(counts) if counts[one] > counts[other]]
    if not unequal:
        return None
    more, less = (plural(words) for words in pick(unequal, "comparison", sample.id))
    first, second = (more, less) if draw("order", sample.id) % 2 else (less, more)
    return _Question({"things": first, "others": second}, more, wrong=(less,))


def _class(corpus: Corpus, sample: Seen) -> _Question | None:
    if len(sample.classes) != 1:
        return None
    right = corpus.words(sample.classes[0])
    others = [name for name in corpus.classes if name not in sample.classes]
    wrong = [corpus.words(name)[0] for name in pick_some(others, _NEGATIVES, "class", sample.id)]
    return _Question({}, pick(right, "class words", sample.id), right, [words for words in wrong if words not in right])


def _season(corpus: Corpus, sample: Seen) -> _Question | None:
    if sample.season is None:
        return None
    return _Question({}, sample.season, wrong=[season for season in corpus.seasons if season != sample.season])


def _counts(corpus: Corpus, sample: Seen) -> Counter[str]:
    return Counter(text for _, text in sample.boxes if text in corpus.things)


_KINDS: dict[str, Callable[[Corpus, Seen], _Question | None]] = {
    "presence": _presence, "count": _count, "comparison": _comparison, "class": _class, "season": _season,
}  # fmt: skip
