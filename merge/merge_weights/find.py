"""Find weights by their SHA-256: parents of a merged model that may have been moved."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from merge_weights.config import CONFIG_NAME
from merge_weights.errors import MergeError
from merge_weights.header import INDEX_SUFFIX
from merge_weights.inputs import INDEX_NAME, WEIGHTS_NAME, Source, open_source
from merge_weights.tensors import open_files, sha256_of


def find_parent(
    role: str, path: str, sha256: str, as_folder: bool, beside: Path, look_in: Sequence[Path], seen: dict[Path, str]
) -> tuple[str | None, str]:
    """Find the weights with a SHA-256: where they were, then beside the merged model under the same name, then in `look_in`.

    Args:
        role: of the parent, for messages.
        path: where it was.
        sha256: what its weights must have.
        as_folder: a model folder is needed, a single file otherwise.
        beside: the folder in which the merged model lies.
        look_in: searched with all folders in them, hidden ones and links apart.
        seen: SHA-256 of weights looked at before; added to.

    Returns:
        Where it is and "", or None and what is wrong.

    Raises:
        MergeError: a folder of `look_in` does not exist.
    """
    notes = []
    for place in dict.fromkeys((path, os.fspath(beside / Path(path).name))):
        try:
            source = open_source(role, place)
            found = _sha256(source, seen)
        except MergeError as error:
            notes.append(str(error) if Path(place).exists() else f"{role}: {place} does not exist")
            continue
        if found != sha256:
            notes.append(f"{role}: {place} has changed, its SHA-256 is {found[:16]} and not {sha256[:16]}")
        elif as_folder and source.folder is None:
            notes.append(f"{role}: {place} is a single file, but the merged model was made from folders")
        else:
            return (place if as_folder else os.fspath(source.weights.path)), ""
    for folder in look_in:
        for place in _candidates(folder, as_folder):
            try:
                if _sha256(open_source(role, place), seen) == sha256:
                    return place, ""
            except MergeError:  # a damaged file is not the one that is looked for
                continue
    searched = f"; not in {', '.join(map(str, look_in))} either" if look_in else "; if it was moved, give --look-in FOLDER"
    return None, notes[0] + searched


def _sha256(source: Source, seen: dict[Path, str]) -> str:
    place = source.weights.path.resolve()
    if place not in seen:
        with open_files([source.weights]) as (file,):
            seen[place] = sha256_of(file, source.weights.nbytes, lambda _: None)
    return seen[place]


def _candidates(folder: Path, as_folder: bool) -> Iterator[str]:
    if not folder.is_dir():
        raise MergeError(f"--look-in {folder} is no folder")
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if as_folder:
            if CONFIG_NAME in names and (WEIGHTS_NAME in names or INDEX_NAME in names):
                yield here
            continue
        for name in sorted(names):
            if name.endswith((".safetensors", INDEX_SUFFIX)):
                yield os.path.join(here, name)  # noqa: PTH118 - os.walk gives text
