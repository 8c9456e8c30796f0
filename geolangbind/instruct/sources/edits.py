"""Compositional edits: an image and a change in words find an image of the same class that has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from geolangbind.captions.grammar import some
from geolangbind.instruct.corpus import Corpus, Seen
from geolangbind.instruct.row import Row
from geolangbind.instruct.segments_json import canonical
from geolangbind.instruct.wordings import Wordings, pick
from geolangbind.interleaved.segments import Text

_Trait = tuple[str, str]
"""What words can ask for: ("in-season", "winter") or ("with-thing", "ship")."""


def rows(corpus: Corpus, wordings: Wordings) -> Iterator[Row]:
    """One row per image for which another of its class and modality has a trait that it lacks.

    Targets are known by class, modality and traits, so that all images that fit are right. Negatives, known in the same way, are the image
    itself, and one of another class that has the trait.
    """
    having: dict[tuple[str, _Trait], dict[str, list[Seen]]] = defaultdict(lambda: defaultdict(list))
    for sample in corpus.samples:
        for trait in _traits(corpus, sample):
            having[sample.modality, trait][_class(sample)].append(sample)
    offered: dict[tuple[str, str], list[_Trait]] = defaultdict(list)
    for (modality, trait), classes in having.items():
        for name in classes:
            offered[modality, name].append(trait)
    for sample in corpus.samples:
        own = _traits(corpus, sample)
        if own and (wanted := sorted(set(offered[sample.modality, _class(sample)]) - own)):
            trait = pick(wanted, "edit", sample.id)
            yield _row(corpus, wordings, sample, trait, having[sample.modality, trait])


def _row(corpus: Corpus, wordings: Wordings, sample: Seen, trait: _Trait, having: Mapping[str, list[Seen]]) -> Row:
    fitting = having[_class(sample)]
    target = pick(fitting, "edit target", sample.id)
    others = sorted(name for name in having if name != _class(sample))
    wrong = [sample, *([pick(having[pick(others, "edit class", sample.id)], "edit negative", sample.id)] if others else [])]
    form, words = trait
    slots = {"season": words} if form == "in-season" else {"thing": some(words)}
    target_key = _key(corpus, target)
    return Row(
        sample.id,
        pick(wordings.instructions["edits"], sample.id),
        (sample.image, Text(pick(wordings.texts[form], "edit words", sample.id).format(**slots))),
        (target.image,),
        pick(wordings.targets["image"], sample.id),
        tuple((other.image,) for other in wrong),
        target_key,
        frozenset(_key(corpus, other) for other in fitting) - {target_key},
        form,
        tuple(_key(corpus, other) for other in wrong),
    )


def _class(sample: Seen) -> str:
    return sample.classes[0]


def _traits(corpus: Corpus, sample: Seen) -> frozenset[_Trait]:
    """Seasons and kinds of things; none of an image without a class."""
    if not sample.classes:
        return frozenset()
    seasons = [("in-season", sample.season)] if sample.season else []
    return frozenset([*seasons, *(("with-thing", text) for _, text in sample.boxes if text in corpus.things)])


def _key(corpus: Corpus, sample: Seen) -> str:
    return canonical({"modality": sample.modality, "class": _class(sample), "traits": sorted(_traits(corpus, sample))})
