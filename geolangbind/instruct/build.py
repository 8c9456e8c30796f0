"""Shards to a pairs folder: the kinds of instruction, and what each makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from geolangbind.errors import DataError, SettingsError
from geolangbind.instruct.corpus import SAME_PLACE, Corpus, read_corpus
from geolangbind.instruct.row import Row
from geolangbind.instruct.rows import Pairs, plain_name, write_pairs
from geolangbind.instruct.sources import boxes, captions, dates, edits, labels, places, questions, sensors
from geolangbind.instruct.wordings import Wordings, load_wordings

Maker = Callable[[Corpus, Wordings], Iterator[Row]]

KINDS: Mapping[str, Mapping[str, Maker]] = {
    "labels": {"labels": labels.rows},
    "captions": {"captions": captions.to_text, "captions-to-image": captions.to_image},
    "boxes": {"boxes": boxes.to_text, "boxes-to-region": boxes.to_region},
    "questions": {"questions": questions.rows},
    "places": {"places": places.to_point, "places-to-image": places.to_image},
    "edits": {"edits": edits.rows},
    "dates": {"dates": dates.rows},
    "sensors": {"sensors": sensors.rows},
}
"""Sources by kind, one for each direction: training takes a batch from one source."""


def build_pairs(
    shards: Sequence[Path | str], out: Path | str, kinds: Sequence[str] = tuple(KINDS), split: str | None = None
) -> tuple[Pairs, tuple[str, ...]]:
    """Make instruction rows from what the samples of shards say of themselves. The same shards give the same rows.

    Args:
        shards: folders of indexed shards, of different names.
        out: folder of pairs to write.
        kinds: which of `KINDS`.
        split: only samples of this split, and those that say none.

    Returns:
        The pairs, and the names of the sources for which the shards say nothing.

    Raises:
        SettingsError: an unknown kind, or two folders of one name.
        DataError: `out` holds pairs already, a folder cannot be read, or no row can be made.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise SettingsError(f"unknown kind '{unknown[0]}'; kinds are {', '.join(KINDS)}")
    folders = {_name(folder): folder for folder in shards}
    if len(folders) < len(shards):
        raise SettingsError(f"rows tell folders of shards apart by their last name, and two are equal: {', '.join(map(str, shards))}")
    corpus, fingerprints = read_corpus(folders, split)
    wordings = load_wordings()
    sources: dict[str, tuple[Iterator[Row], dict[str, Any]]] = {}
    empty: list[str] = []
    for kind in kinds:
        for name, make in KINDS[kind].items():
            rows = make(corpus, wordings)
            if (first := next(rows, None)) is None:
                empty.append(name)
                continue
            told = {"kind": kind, "instructions": wordings.version, "shards": fingerprints, "split": split}
            sources[name] = (chain([first], rows), told)
    if not sources:
        why = "" if {"dates", "sensors"}.isdisjoint(kinds) else f"; {SAME_PLACE}"
        raise DataError(f"{', '.join(map(str, shards))}: nothing there to make {', '.join(kinds)} from{why}")
    return write_pairs(out, folders, sources), tuple(empty)


def _name(folder: Path | str) -> str:
    last = str(folder).rstrip("/").rpartition("/")[2] if "://" in str(folder) else Path(folder).resolve().name
    return plain_name(last)
