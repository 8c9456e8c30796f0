"""Instructions and questions: versioned data, read once and checked strictly, and deterministic choice among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from string import Formatter
from typing import TypeVar

import yaml

from geolangbind.errors import SettingsError

FILE = Path(__file__).with_name("instructions.yaml")
SOURCES = (
    "labels", "captions", "captions-to-image", "boxes", "boxes-to-region", "questions", "places", "places-to-image", "edits", "dates",
    "sensors",
)  # fmt: skip
_TEXTS: Mapping[str, frozenset[str]] = {
    "presence": frozenset({"thing"}),
    "count": frozenset({"things"}),
    "class": frozenset(),
    "season": frozenset(),
    "comparison": frozenset({"things", "others"}),
    "in-season": frozenset({"season"}),
    "with-thing": frozenset({"thing"}),
}
"""Slots of each kind of question, and of each kind of edit."""
_TARGETS = ("image", "region")
_HASH_DIGITS = 6

T = TypeVar("T")


@dataclass(frozen=True)
class Wordings:
    """The content of a file.

    Attributes:
        version: `<version>:<hash of the file>`.
        instructions: by source.
        targets: words before a target that is an image or a region.
        texts: questions and edits by kind, with slots.
    """

    version: str
    instructions: Mapping[str, tuple[str, ...]]
    targets: Mapping[str, tuple[str, ...]]
    texts: Mapping[str, tuple[str, ...]]


@cache
def load_wordings(path: Path = FILE) -> Wordings:
    """Read a file of wordings.

    Raises:
        SettingsError: it is broken; the message names file and key.
    """
    data = path.read_bytes()
    try:
        raw = yaml.safe_load(data)
        if not isinstance(raw, dict) or set(raw) != {"version", "instructions", "targets", "texts"}:
            raise ValueError("it must hold exactly version, instructions, targets, texts")
        if type(raw["version"]) is not int:
            raise ValueError("version must be a whole number")
        instructions = _texts(raw, "instructions", dict.fromkeys(SOURCES, frozenset()))
        targets = _texts(raw, "targets", dict.fromkeys(_TARGETS, frozenset()))
        texts = _texts(raw, "texts", _TEXTS)
    except (ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: {' '.join(str(error).split())}") from None
    return Wordings(f"{raw['version']}:{sha256(data).hexdigest()[:_HASH_DIGITS]}", instructions, targets, texts)


def draw(*parts: object) -> int:
    """Return a whole number below 2**64 that follows from `parts` alone, on every machine."""
    return int.from_bytes(sha256("\0".join(map(str, parts)).encode()).digest()[:8], "big")


def pick(options: Sequence[T], *parts: object) -> T:
    """Return one of `options`; which one follows from `parts`."""
    return options[draw(*parts) % len(options)]


def pick_some(options: Sequence[T], count: int, *parts: object) -> list[T]:
    """Return up to `count` different `options`, neighbours in their order; where they begin follows from `parts`."""
    start = draw(*parts) if options else 0
    return [options[(start + step) % len(options)] for step in range(min(count, len(options)))]


def _texts(raw: Mapping[str, object], section: str, expected: Mapping[str, frozenset[str]]) -> dict[str, tuple[str, ...]]:
    found = raw[section]
    if not isinstance(found, dict) or set(found) != set(expected):
        raise ValueError(f"{section} must hold exactly {', '.join(expected)}")
    for name, texts in found.items():
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
            raise ValueError(f"{section}.{name} must be a list of texts")
        for text in texts:
            slots = {slot for _, slot, _, _ in Formatter().parse(text) if slot is not None}
            if slots != expected[name]:
                raise ValueError(f"{section}.{name}: '{text}' must use {', '.join(sorted(expected[name])) or 'no slots'}")
    return {name: tuple(texts) for name, texts in found.items()}
