"""Rows changed for an ablation: the same images, other words or other places."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from geolangbind.demo_interleaved.profile import short_hash
from geolangbind.instruct.row import AnyRow, RankingRow, Row
from geolangbind.instruct.rows import PAIRS_NAME, Pairs, write_pairs
from geolangbind.instruct.segments_json import Sequence as Segments
from geolangbind.interleaved.segments import GeoPoint, Segment

Change = Callable[[Row], Row]


def uninstructed(row: Row) -> Row:
    """The row without a word of what it asks for."""
    return replace(row, instruction="", target_instruction="")


def uninstructed_ranking(row: RankingRow) -> RankingRow:
    """See `uninstructed`."""
    return replace(row, instruction="", candidate_instruction="")


def noisy(row: Row, degrees: float) -> Row:
    """The row with its places moved at random; what is true of it stays as it was."""
    query, target = _moved(row.query, degrees), _moved(row.target, degrees)
    return replace(row, query=query, target=target, target_key=row.target_key)


def _moved(sequence: Segments, degrees: float) -> Segments:
    return tuple(_move(segment, degrees) for segment in sequence)


def _move(segment: Segment, degrees: float) -> Segment:
    """A place is moved the same way wherever it is named: normal, with this standard deviation along each axis on the ground."""
    if not isinstance(segment, GeoPoint):
        return segment
    rng = np.random.default_rng(zlib.crc32(f"{segment.lat} {segment.lon}".encode()))
    north, east = degrees * rng.standard_normal(2)
    lat = float(np.clip(segment.lat + north, -89.9, 89.9))
    return GeoPoint(lat, float((segment.lon + east / np.cos(np.radians(lat)) + 180) % 360 - 180))


def write_variant(pairs: Pairs, root: Path, name: str, change: Change) -> Pairs:
    """Write the rows of `pairs`, changed, below `root`, or open what was written before."""
    folder = root / f"{name}-{short_hash({source.name: source.sha256 for source in pairs.sources.values()})}"
    if not (folder / PAIRS_NAME).is_file():
        sources = {
            source.name: (_changed(pairs, source.name, change), {**source.provenance, "variant": name}) for source in pairs.sources.values()
        }
        write_pairs(folder, pairs.images, sources)
    return Pairs.open(folder)


def _changed(pairs: Pairs, source: str, change: Change) -> Iterable[AnyRow]:
    return map(change, pairs.read(source, range(len(pairs.sources[source]))))
