"""What a build will do: the records of each view, in blocks that become shards. A pure function of the card, the files and the options."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from geolangbind.errors import DataError, SettingsError
from geolangbind.sensors.records import nearest
from geolangbind.sources.card import Card, View
from geolangbind.sources.readers import READERS
from geolangbind.sources.record import Item, Record


@dataclass(frozen=True)
class Block:
    """Records that one process writes in one go.

    Attributes:
        name: begins the names of its shards: source, view, split, number.
        view: of all its records.
        records: in order.
        fingerprint: hash of all that its shards follow from: card, view, records, files' sizes and times, joined captions.
    """

    name: str
    view: View
    records: tuple[Record, ...]
    fingerprint: str


@dataclass(frozen=True)
class Plan:
    """All blocks of a build.

    Attributes:
        card: the source.
        root: where it lies.
        blocks: in order.
        places: by view, the reader and pattern that found its files.
        missing: views whose files are not under the root.
    """

    card: Card
    root: Path
    blocks: tuple[Block, ...]
    places: dict[str, str]
    missing: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of records."""
        return sum(len(block.records) for block in self.blocks)


def make_plan(
    card: Card,
    root: Path,
    *,
    views: Sequence[str] | None = None,
    split: str | None = None,
    limit: int | None = None,
    records_per_shard: int = 1000,
    seasoning: str = "",
) -> Plan:
    """List what is to be built.

    Args:
        card: the source.
        root: where its files lie.
        views: which of its views; all that are found if None.
        split: only samples that the source puts into this split.
        limit: only so many records of each view, evenly spread over them.
        records_per_shard: records of one block.
        seasoning: anything else that the shards follow from, for the fingerprints.

    Raises:
        SettingsError: an unknown view or split, no such root, or none of the views' files are there; the message says what was looked for.
        DataError: what is there is wrong (a table without a column).
    """
    if not root.is_dir():
        raise SettingsError(f"--root {root}: no such folder")
    chosen = _views(card, views)
    blocks: list[Block] = []
    places: dict[str, str] = {}
    for view in chosen:
        where, records = _find(card, view, root)
        if where is None:
            continue
        places[view.name] = where
        wanted = _of_split(records, split, view)
        wanted = wanted if limit is None else _spread(wanted, limit)
        by_split: dict[str | None, list[Record]] = {}
        for record in wanted:
            by_split.setdefault(record.split, []).append(record)
        for name, group in sorted(by_split.items(), key=lambda pair: str(pair[0])):
            stem = "-".join(part for part in (card.name, view.name, name) if part)
            for number, start in enumerate(range(0, len(group), records_per_shard)):
                members = tuple(group[start : start + records_per_shard])
                blocks.append(Block(f"{stem}-{number:05d}", view, members, _fingerprint(card, view, members, seasoning)))
    missing = tuple(view.name for view in chosen if view.name not in places)
    if not blocks or (views and missing):
        raise SettingsError(_not_there(card, [view for view in chosen if view.name in missing] or chosen, root))
    return Plan(card, root, tuple(blocks), places, missing)


def _views(card: Card, wanted: Sequence[str] | None) -> list[View]:
    for name in wanted or ():
        if name not in card.views:
            raise SettingsError(f"{card.name} has no view '{name}'{nearest(name, list(card.views))}; it has {', '.join(card.views)}")
    return [view for name, view in card.views.items() if wanted is None or not wanted or name in wanted]


def _find(card: Card, view: View, root: Path) -> tuple[str | None, list[Record]]:
    """The first of the view's places that is there, and its records in order."""
    for place in view.places:
        records = READERS[place.reader](root, place, card, view)
        if not records:
            continue
        records.sort(key=lambda record: (record.place, str(record.image)))
        for one, other in pairwise(records):
            if one.place == other.place:
                raise DataError(
                    f"{root}: two samples of view {view.name} are called '{one.place}' ({one.image}, {other.image}); rename one"
                )
        return f"{place.reader}: {place.spec}", records
    return None, []


def _of_split(records: list[Record], split: str | None, view: View) -> list[Record]:
    if split is None:
        return records
    found = [record for record in records if record.split == split]
    if not found:
        there = sorted({record.split for record in records if record.split})
        told = f"it has {', '.join(there)}" if there else "its files do not say which split they belong to"
        raise SettingsError(f"no sample of view {view.name} is in split '{split}'; {told}")
    return found


def _spread(records: list[Record], limit: int) -> list[Record]:
    """`limit` records evenly spread, so that a trial build sees all classes of a source that lies in class folders."""
    count = min(limit, len(records))
    return [records[number * len(records) // count] for number in range(count)]


def _fingerprint(card: Card, view: View, records: Iterable[Record], seasoning: str) -> str:
    digest = sha256(f"{card.sha256} {replace(view, places=())} {seasoning}".encode())
    for record in records:
        told = asdict(record)
        path = (record.image.file or record.image.root) if isinstance(record.image, Item) else record.image
        stat = path.stat() if path.exists() else None
        told["image"] = [str(record.image), *((stat.st_size, stat.st_mtime_ns) if stat and path.is_file() else ())]
        digest.update(json.dumps(told, default=str, sort_keys=True).encode())
    return digest.hexdigest()


def _not_there(card: Card, views: Sequence[View], root: Path) -> str:
    looked = "; ".join(f"{view.name}: {' or '.join(f'{place.reader} {place.spec}' for place in view.places)}" for view in views)
    return f"--root {root} does not hold {card.name}; looked for {looked}. Get it from {card.source}, or point --root at its folder"
