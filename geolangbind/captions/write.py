"""From facts to captions: which statement, in which template, is decided by a hash of the sample's key."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache, partial
from hashlib import sha256

import geolangbind.captions.boxes as boxes
import geolangbind.captions.labels as labels
import geolangbind.captions.masks as masks
import geolangbind.captions.tags as tags
from geolangbind.captions.facts import Caption, Facts, Statement
from geolangbind.captions.grammar import article, sentence
from geolangbind.captions.templates import Templates, load_templates, load_words
from geolangbind.errors import SettingsError
from geolangbind.sensors.records import nearest

_FORMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "labels": labels.FORMS,
    "boxes": boxes.FORMS,
    "mask": masks.FORMS,
    "tags": tags.FORMS,
}
RULES = tuple(_FORMS)
"""Rules that write captions."""


def write_captions(rule: str, facts: Facts, key: str, count: int = 2) -> list[Caption]:
    """Write different captions from the facts that a rule is about.

    The first says the most (all classes, all counts, all shares), further ones pick out what `key` decides: a place, a relation, a size.

    Args:
        rule: one of `RULES`.
        facts: what is known about the image.
        key: the sample's key. The same facts, key and templates give the same captions; different keys different templates.
        count: how many captions, fewer where the facts do not support so many.

    Returns:
        Captions, each true of the facts; none where the facts have nothing for the rule.

    Raises:
        SettingsError: the rule or the modality is unknown, or the rule's template file is broken.
    """
    if rule not in RULES:
        raise SettingsError(f"'{rule}' writes no captions{nearest(rule, RULES)}; choose from {', '.join(RULES)}")
    said = _statements(rule, facts)
    if not said:
        return []
    templates, pictures = _templates(rule), _pictures(facts)
    pick = partial(_pick, f"{rule}/{key}")
    order = [said[0], *(said[i] for i in sorted(range(1, len(said)), key=lambda i: pick(f"statement {i}")))]
    texts: dict[str, None] = {}
    for turn in range(max(len(templates.forms[statement.form]) for statement in order)):
        for place, statement in enumerate(order):
            if len(texts) >= count:
                break
            choices = templates.forms[statement.form]
            if turn < len(choices):
                template = choices[(pick(statement.form) + turn) % len(choices)]
                picture = pictures[(pick("picture") + turn + place) % len(pictures)]
                texts[sentence(template.format(**statement.slots, picture=picture, a_picture=article(picture)))] = None
    return [Caption(text, templates.source) for text in texts]


def merge(captions: Iterable[Caption]) -> tuple[Caption, ...]:
    """Drop captions without letters or digits, those with characters that cannot be printed, and repetitions.

    Case, punctuation and white space do not make a difference between two captions; the first one stays, its white space as single blanks.
    """
    kept: dict[str, Caption] = {}
    for caption in captions:
        text = " ".join(caption.text.split())
        plain = "".join(letter if letter.isalnum() or unicodedata.category(letter)[0] == "M" else " " for letter in text.casefold())
        same = " ".join(plain.split())
        if same and text.isprintable():
            kept.setdefault(same, Caption(text, caption.source))
    return tuple(kept.values())


@cache
def _templates(rule: str) -> Templates:
    return load_templates(rule, _FORMS[rule], tags.TABLES if rule == "tags" else ())


def _statements(rule: str, facts: Facts) -> list[Statement]:
    """What the facts support, the statement that says the most first."""
    match rule:
        case "labels":
            return labels.statements(facts)
        case "boxes":
            return boxes.statements(facts)
        case "mask":
            return masks.statements(facts)
        case _:
            return tags.statements(facts, _templates(rule).tables)


def _pictures(facts: Facts) -> tuple[str, ...]:
    known = load_words().pictures
    found = known.get(f"{facts.modality}/{facts.carrier}", known.get(facts.modality))
    if found is None:
        raise SettingsError(f"modality '{facts.modality}' is unknown; choose from {', '.join(name for name in known if '/' not in name)}")
    return found


def _pick(seed: str, what: str) -> int:
    return int.from_bytes(sha256(f"{seed}/{what}".encode()).digest()[:8], "big")
