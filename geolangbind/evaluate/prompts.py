"""Classes of labelled shards, and their names to sentences.

Templates are data (`templates.yaml`) with a version and a hash: a score says what it was prompted with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import yaml

from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError

_DATA = yaml.safe_load(Path(__file__).with_name("templates.yaml").read_text(encoding="utf-8"))
PROMPTS_VERSION: str = _DATA["version"]
TEMPLATES: dict[str, tuple[str, ...]] = {modality: tuple(listed) for modality, listed in _DATA["templates"].items()}


def label_phrases(shards: ShardSet, label: str) -> dict[str, tuple[str, ...]]:
    """Classes of a labelled shard set with the phrases that name them.

    The shards' provenance may list them under `classes`; else every label found is its own phrase.

    Raises:
        DataError: no sample has the label.
    """
    listed = shards.index.provenance.get("classes", {}).get(label)
    if listed:
        return {str(name): tuple(phrases) for name, phrases in listed.items()}
    found: set[str] = set()
    for stream in shards.streams:
        for number in range(len(stream)):
            value = stream.read(number).meta.labels.get(label)
            found |= set(map(str, value if isinstance(value, list | tuple) else [] if value is None else [value]))
    if not found:
        raise DataError(f"no sample in {shards.folder} has a label '{label}'")
    return {name: (name.replace("_", " "),) for name in sorted(found)}


def prompts(phrases: Sequence[str], modality: str, templates: Sequence[str] = ()) -> list[str]:
    """All sentences for one class: every phrase in every template; the modality's own templates where none are given."""
    return [template.format(phrase) for phrase in phrases for template in templates or TEMPLATES[modality]]


def prompts_hash(classes: Mapping[str, Sequence[str]], modality: str, templates: Sequence[str] = ()) -> str:
    """Identity of a prompt set: 12 hex digits over version, templates and phrases."""
    told = json.dumps([PROMPTS_VERSION, templates or TEMPLATES[modality], {name: list(phrases) for name, phrases in classes.items()}])
    return sha256(told.encode()).hexdigest()[:12]
