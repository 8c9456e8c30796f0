"""Write one block of records as shards, and remember it: what makes a build parallel, resumable and idempotent."""

from __future__ import annotations

import json
import os
from collections.abc import Set
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from geolangbind.captions import JoinedCaptions
from geolangbind.data.index import Index, Layout, ShardRecord, shard_from_json, shard_to_json
from geolangbind.data.write import PendingShard, layout_of
from geolangbind.errors import DataError, GeoLangBindError
from geolangbind.sensors import add_sensor
from geolangbind.sources.assemble import samples_of
from geolangbind.sources.card import Card, View
from geolangbind.sources.plan import Block

JOURNAL = ".build"
"""Folder beside the shards with one file per block that is done."""
_SHARD_BYTES = 1 << 29
"""A tar that has reached this size is closed, so that large images do not make shards nobody can move."""


@dataclass(frozen=True)
class Finding:
    """A record that gave no sample, or a doubtful one, and why."""

    view: str
    place: str
    why: str


@dataclass(frozen=True)
class Done:
    """What became of a block.

    Attributes:
        block: its name.
        fingerprint: see `Block`.
        shards: records of the tars written.
        skipped: records that gave nothing.
        doubtful: samples that are there, but whose values can hardly be in the unit that the card states.
        wordless: samples with neither caption nor label.
    """

    block: str
    fingerprint: str
    shards: tuple[ShardRecord, ...]
    skipped: tuple[Finding, ...]
    doubtful: tuple[Finding, ...] = ()
    wordless: int = 0


def write_block(block: Block, card: Card, out: Path, captions: Path | None) -> Done:
    """Write the block's shards and its journal entry; runs in a worker process, one sample in memory at a time.

    Samples of one layout (bands, unit, shape, type) share a tar; a block of images of many sizes gives as many tars. A record that
    cannot be used is skipped with its reason (windows of it that were read before stay). Nothing is left under a final name when the
    writing itself fails.
    """
    if (own := own_sensor(block.view)) is not None:
        add_sensor(own)
    joined = None if captions is None else _joined(captions)
    begun: list[PendingShard] = []
    current: dict[Layout, PendingShard] = {}
    skipped: list[Finding] = []
    doubtful: list[Finding] = []
    wordless = 0
    try:
        for record in block.records:
            try:
                for sample, doubt in samples_of(record, card, block.view, joined):
                    layout = layout_of(sample)
                    if layout not in current or current[layout].tar.n_bytes >= _SHARD_BYTES:
                        number = f"-{len(begun):03d}" if begun else ""
                        current[layout] = PendingShard(out / f"{block.name}{number}.tar", layout)
                        begun.append(current[layout])
                    current[layout].add(sample)
                    wordless += not sample.meta.captions and not sample.meta.labels
                    doubtful += [] if doubt is None else [Finding(block.view.name, record.place, doubt)]
            except GeoLangBindError as error:
                skipped.append(Finding(block.view.name, record.place, str(error)))
        done = Done(block.name, block.fingerprint, tuple(shard.seal() for shard in begun), tuple(skipped), tuple(doubtful), wordless)
        for shard in begun:
            shard.place()
    finally:
        for shard in begun:
            shard.discard()
    _save(out, done)
    return done


def own_sensor(view: View) -> str | None:
    """Return the file of a view's sensor where it is the card's own, which shards have to bring along."""
    return Path(view.sensor).read_text(encoding="utf-8") if view.sensor.endswith((".yaml", ".yml")) else None


@cache
def _joined(captions: Path) -> JoinedCaptions:
    """Opened once in each worker process."""
    return JoinedCaptions(captions)


def load_done(block: Block, out: Path) -> Done | None:
    """Return what became of the block in an earlier run, or None if it has to be written: never done, changed since, or a tar is gone."""
    path = out / JOURNAL / f"{block.name}.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["fingerprint"] != block.fingerprint:
            return None
        done = Done(
            block=block.name,
            fingerprint=block.fingerprint,
            shards=tuple(shard_from_json(shard) for shard in raw["shards"]),
            skipped=tuple(Finding(**entry) for entry in raw["skipped"]),
            doubtful=tuple(Finding(**entry) for entry in raw["doubtful"]),
            wordless=int(raw["wordless"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError):
        return None
    whole = all((out / shard.file).is_file() and (out / shard.file).stat().st_size == shard.n_bytes for shard in done.shards)
    return done if whole else None


def forget_others(out: Path, source: str, blocks: Set[str], index: Index) -> None:
    """Delete what an earlier build of `source` left and this one does not list: journal entries and tars."""
    for path in (out / JOURNAL).glob("*.json"):
        if path.stem not in blocks:
            path.unlink()
    listed = {shard.file for shard in index.shards} | {car.file for shard in index.shards for car in shard.features.values()}
    for path in out.glob(f"{source}-*.tar"):
        if path.name not in listed:
            path.unlink()


def _save(out: Path, done: Done) -> None:
    folder = out / JOURNAL
    folder.mkdir(exist_ok=True)
    document: dict[str, Any] = {
        "fingerprint": done.fingerprint,
        "shards": [shard_to_json(shard) for shard in done.shards],
        "skipped": [asdict(entry) for entry in done.skipped],
        "doubtful": [asdict(entry) for entry in done.doubtful],
        "wordless": done.wordless,
    }
    temporary = folder / f".{done.block}.{os.getpid()}.tmp"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(document, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / f"{done.block}.json")
    finally:
        temporary.unlink(missing_ok=True)
