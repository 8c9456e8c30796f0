"""The template files: versioned data, read once and checked strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from geolangbind.errors import SettingsError
from geolangbind.sensors.records import MODALITIES

FOLDER = Path(__file__).with_name("templates")
PICTURE_SLOTS = ("picture", "a_picture")
"""Slots of every template: what the image is called, without and with its article."""
Table = Mapping[str, str]
"""Words by value."""
_HASH_DIGITS = 6


@dataclass(frozen=True)
class Words:
    """`words.yaml`: what images are called, and the nouns that English rules do not cover.

    Attributes:
        pictures: names of an image by modality, or by `modality/carrier`.
        mass: nouns without article and plural.
        plurals: irregular plurals by singular.
        singular_in_s: singular nouns that end like a plural.
        adjectives: words that name a class without a noun ("residential").
        no_class: names of classes that say nothing.
        after_head: words that end the noun and begin what describes it ("ship WITH containers").
    """

    pictures: Mapping[str, tuple[str, ...]]
    mass: frozenset[str]
    plurals: Mapping[str, str]
    singular_in_s: frozenset[str]
    adjectives: frozenset[str]
    no_class: frozenset[str]
    after_head: frozenset[str]


@dataclass(frozen=True)
class Templates:
    """A rule's file.

    Attributes:
        source: provenance of its captions, `<rule>/<version>:<hash>`.
        forms: sentences by form.
        tables: further tables of the file: words by value, by key, by name of the table.
    """

    source: str
    forms: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, Mapping[str, Table]]


@cache
def load_words() -> Words:
    """Read `words.yaml`.

    Raises:
        SettingsError: it is broken; the message names file and key.
    """
    path = FOLDER / "words.yaml"
    raw = _read(path, tuple(Words.__annotations__))
    pictures = {name: _texts(path, f"pictures.{name}", names) for name, names in _mapping(path, "pictures", raw["pictures"]).items()}
    missing = [modality for modality in MODALITIES if modality not in pictures]
    if missing:
        raise SettingsError(f"{path}: pictures needs {', '.join(missing)}")
    plurals = _mapping(path, "plurals", raw["plurals"])
    lists = {name: frozenset(_texts(path, name, raw[name])) for name in ("mass", "singular_in_s", "adjectives", "no_class", "after_head")}
    return Words(pictures, plurals={str(one): str(many) for one, many in plurals.items()}, **lists)


def load_templates(rule: str, forms: Mapping[str, tuple[str, ...]], tables: tuple[str, ...] = (), folder: Path = FOLDER) -> Templates:
    """Read `<rule>.yaml`.

    Args:
        rule: name of the file.
        forms: slots by form: what a form's templates use, each all of it (but for the verb, `are`), beside `PICTURE_SLOTS`.
        tables: names of further tables that the file must hold.
        folder: where the file lies.

    Raises:
        SettingsError: it is broken; the message names file and key.
    """
    path = folder / f"{rule}.yaml"
    raw = _read(path, ("version", "forms", *tables))
    if type(raw["version"]) is not int or raw["version"] < 1:
        raise SettingsError(f"{path}: version must be a whole number above 0, got '{raw['version']}'")
    written = _mapping(path, "forms", raw["forms"])
    _same_keys(path, "forms", written, tuple(forms))
    checked = {form: _texts(path, f"forms.{form}", written[form]) for form in forms}
    for form, templates in checked.items():
        for template in templates:
            _check(f"{path}: forms.{form}: '{template}'", template, forms[form])
    digest = sha256(path.read_bytes() + (FOLDER / "words.yaml").read_bytes()).hexdigest()[:_HASH_DIGITS]
    return Templates(f"{rule}/{raw['version']}:{digest}", checked, {name: _tables(path, name, raw[name]) for name in tables})


def _check(where: str, template: str, slots: tuple[str, ...]) -> None:
    try:
        used = [(before, name, spec, conversion) for before, name, spec, conversion in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from None
    for before, name, spec, conversion in used:
        if name not in (*slots, *PICTURE_SLOTS) or spec or conversion:
            raise SettingsError(f"{where}: unknown slot '{name}'; slots are {', '.join((*slots, *PICTURE_SLOTS))}, without formats")
        if before.lower().endswith((" a ", " an ")) or before.lower() in ("a ", "an "):
            raise SettingsError(f"{where}: an article stands before '{name}'; slots bring their own (a_picture)")
    missing = set(slots) - {name for _, name, _, _ in used} - {"are"}  # a sentence may do without its verb
    if missing:
        raise SettingsError(f"{where}: does not use {', '.join(sorted(missing))}")
    if template != " ".join(template.split()) or not template.endswith("."):
        raise SettingsError(f"{where}: must be one sentence with single blanks and a full stop")


def _tables(path: Path, name: str, value: object) -> dict[str, Table]:
    tables: dict[str, Table] = {key: _mapping(path, f"{name}.{key}", table) for key, table in _mapping(path, name, value).items()}
    for key, table in tables.items():
        for word, words in table.items():
            if not isinstance(words, str) or not words or words.count("{}") != words.count("{") or words.count("{}") != words.count("}"):
                raise SettingsError(f"{path}: {name}.{key}.{word} must be words, with {{}} where the value goes; got '{words}'")
    return tables


def _read(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: not a file of templates: {' '.join(str(error).split())}") from None
    content = _mapping(path, "the file", document)
    _same_keys(path, "the file", content, keys)
    return content


def _same_keys(path: Path, where: str, content: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    if set(content) != set(keys):
        wrong = sorted(set(map(str, content)) ^ set(keys))
        raise SettingsError(f"{path}: {where} must hold exactly {', '.join(keys)}; {', '.join(wrong)} is missing or unknown")


def _mapping(path: Path, key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise SettingsError(f"{path}: {key} must hold 'name: value' lines with names that are texts (quote yes and no)")
    return value


def _texts(path: Path, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
        raise SettingsError(f"{path}: {key} must be a list of texts")
    if len(set(value)) != len(value):
        raise SettingsError(f"{path}: {key} holds a text twice")
    return tuple(value)
