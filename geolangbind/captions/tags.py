"""Captions from OpenStreetMap's tags: what a thing is, what it is made of, what it is called."""

from __future__ import annotations

import re
from collections.abc import Mapping

from geolangbind.captions.facts import Facts, Statement
from geolangbind.captions.grammar import listing, number, plural, some
from geolangbind.captions.templates import Table

FORMS = {"one": ("thing",), "detail": ("thing", "details"), "named": ("thing", "name"), "several": ("things",)}
TABLES = ("features", "properties")
_NEGATIVE = frozenset({"no", "none", "unknown"})
_WORDS = re.compile(r"[a-z][a-z -]*")
_WHOLE_NUMBER = re.compile(r"[1-9][0-9]{0,2}")
_METRES = re.compile(r"([1-9][0-9]{0,3}(?:\.[0-9]+)?)(?: ?m)?")
_NAME = re.compile(r"\w[\w .,'’&()/-]{1,59}")


def statements(facts: Facts, tables: Mapping[str, Mapping[str, Table]]) -> list[Statement]:
    """Say what the tags say. Keys and values that `tables` does not know are passed over.

    Tags that name several things (`natural=water` beside `building=yes`) are listed, and no property or name is given to any of them:
    one mapping does not tell whose it is.
    """
    things = _things(facts.tags, tables["features"])
    if len(things) > 1:
        return [Statement("several", {"things": listing([some(thing) for thing in things])})]
    if not things:
        return []
    thing = some(things[0])
    said = []
    details = [words for key, table in tables["properties"].items() if (words := _detail(table, _values(facts.tags, key))) is not None]
    if details:
        said.append(Statement("detail", {"thing": thing, "details": listing(details)}))
    name = " ".join(facts.tags.get("name", "").split())
    if _NAME.fullmatch(name):
        said.append(Statement("named", {"thing": thing, "name": name}))
    return [*said, Statement("one", {"thing": thing})]


def _things(tags: Mapping[str, str], features: Mapping[str, Table]) -> list[str]:
    """What there is, in the order of the table, each thing once and by its most precise name."""
    found: dict[str, None] = {}
    for key, table in features.items():
        for value in _values(tags, key):
            words = table.get(value, table.get("*"))
            refined = value in features and _values(tags, value)  # natural=water, water=lake: a key that is a value says more
            if words and _WORDS.fullmatch(value) and not refined:
                found[words.format(value)] = None
    return [thing for thing in found if not any(thing != other and thing in other.split(" ") for other in found)]  # "school (building)"


def _detail(table: Table, values: list[str]) -> str | None:
    """A property in words; None where there is no value, or one that the table has no words for, or several that contradict each other."""
    if len(values) != 1:
        return None
    value = values[0]
    if "#" in table:
        things = table["#"] if value == "1" else plural(table["#"])
        return f"{number(int(value))} {things}" if _WHOLE_NUMBER.fullmatch(value) else None
    if "metres" in table:
        metres = _METRES.fullmatch(value)
        return some(table["metres"].format(metres[1])) if metres else None
    words = table.get(value, table.get("*"))
    return some(words.format(value)) if words and _WORDS.fullmatch(value) else None


def _values(tags: Mapping[str, str], key: str) -> list[str]:
    """The values of a key: OpenStreetMap separates several by semicolons."""
    values = [" ".join(value.replace("_", " ").lower().split()) for value in tags.get(key, "").split(";")]
    return [value for value in values if value and value not in _NEGATIVE]
