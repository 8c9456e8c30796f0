"""Captions from the classes of a whole image."""

from __future__ import annotations

from geolangbind.captions.facts import Facts, Statement
from geolangbind.captions.grammar import listing, noun, some

FORMS = {"one": ("class",), "several": ("classes",)}


def statements(facts: Facts) -> list[Statement]:
    """Name the class, or the classes: all of up to five, else the first five "and more"."""
    phrases = list(dict.fromkeys(some(words) for words in map(noun, facts.classes) if words))
    if len(phrases) == 1:
        return [Statement("one", {"class": phrases[0]})]
    return [Statement("several", {"classes": listing(phrases)})] if phrases else []
