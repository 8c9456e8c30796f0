"""What a merged model records about its merge, read with distrust: it may have been edited, that is what `verify` is for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from merge_weights import __version__
from merge_weights.config import read_config
from merge_weights.errors import MergeError
from merge_weights.inputs import Source

_INCIDENTAL = ("command", "date", "version")
"""Entries of the provenance that another run makes anew."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_SETTINGS: dict[str, Callable[[object], bool]] = {
    "method": lambda value: isinstance(value, str),
    "density": _is_number,
    "seed": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "keep_heads": lambda value: isinstance(value, bool),
    "missing": lambda value: value in ("refuse", "copy"),
    "skip": _is_texts,
    "routes": _is_texts,
}
"""Keyword arguments of `merge` that change the result."""


@dataclass(frozen=True)
class Record:
    """How a model was merged.

    Attributes:
        parents: role, path and SHA-256 of the weights, base first.
        steps: name, coefficient and part coefficients of each step.
        settings: the other arguments of `merge`.
        comparable: what the model says of itself, without dates, paths and the like.
        version_note: a sentence about the version of the tool that made it, if that was another one.
    """

    parents: tuple[tuple[str, str, str], ...]
    steps: tuple[tuple[str, float, Mapping[str, float]], ...]
    settings: Mapping[str, Any]
    comparable: Mapping[str, Any]
    version_note: str


def read_record(source: Source) -> Record:
    """Read the record of a merged model: `config.json` of a folder, metadata of a single file.

    Raises:
        MergeError: it records too little to merge again, or what it records makes no sense.
    """
    if source.folder is None:
        where, told = f"the metadata of {source.given}", _metadata(source)
        how: dict[str, Any] = {"merge": told.get("merge")}
    else:
        where, told = f"config.json of {source.given}", read_config(source.folder)
        how = told.get("provenance", {}) if isinstance(told.get("provenance"), dict) else {}
    merge, listed = how.get("merge"), told.get("parents")
    if not isinstance(merge, dict) or not listed:
        raise MergeError(
            f"{source.given} does not record enough to be verified: {where} lacks the arguments of its merge. It was not merged, "
            "or by a version of merge-weights that did not record them; merge again with this one"
        )
    if not isinstance(listed, list) or not all(map(_is_parent, listed)):
        raise MergeError(f"{where} is damaged: each of its parents needs role, path and sha256")
    steps = merge.get("steps")
    if not isinstance(steps, list) or not all(map(_is_step, steps)) or ["base", *(s["name"] for s in steps)] != [p["role"] for p in listed]:
        raise MergeError(f"{where} is damaged: the steps of its merge do not match its parents")
    settings = {key: value for key, value in merge.items() if key not in ("base", "steps")}
    if wrong := [key for key, value in settings.items() if key not in _SETTINGS or not _SETTINGS[key](value)]:
        raise MergeError(
            f"{where} records a merge with {wrong[0]} {settings[wrong[0]]!r}, which this version ({__version__}) does not know"
        )
    version = how.get("version", __version__)
    return Record(
        tuple((parent["role"], parent["path"], parent["sha256"]) for parent in listed),
        tuple((step["name"], step["coefficient"], step.get("parts", {})) for step in steps),
        {key: value for key, value in settings.items() if value != []},
        _comparable(told, how, merge, listed),
        "" if version == __version__ else f"it was merged by version {version} of merge-weights, this is {__version__}",
    )


def _metadata(source: Source) -> dict[str, Any]:
    try:
        told = json.loads(source.weights.metadata.get("geolangbind", "{}"))
    except (ValueError, RecursionError) as error:
        raise MergeError(f"the metadata of {source.given} is damaged: {error}") from error
    return told if isinstance(told, dict) else {}


def _is_parent(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("role", "path", "sha256"))


def _is_step(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not _is_number(value.get("coefficient")):
        return False
    parts = value.get("parts", {})
    return isinstance(parts, dict) and all(map(_is_number, parts.values()))


def _comparable(told: dict[str, Any], how: dict[str, Any], merge: dict[str, Any], listed: list[dict[str, Any]]) -> dict[str, Any]:
    """Leave out what may differ, and name parents and steps so that a difference can be told by name."""
    call = {key: value for key, value in merge.items() if key != "base"}
    call["steps"] = {step["name"]: _without(step, ("name", "path")) for step in merge["steps"]}
    result = {**told, "parents": {parent["role"]: _without(parent, ("role", "path")) for parent in listed}}
    if "provenance" in told:
        return {**result, "provenance": {**_without(how, _INCIDENTAL), "merge": call}}
    return {**result, "merge": call}


def _without(entry: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in keys}
