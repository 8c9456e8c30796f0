"""Pairs for people: a table of sources, and rows in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from geolangbind.instruct.row import AnyRow, RankingRow
from geolangbind.instruct.rows import Pairs
from geolangbind.instruct.segments_json import Sequence, StoredImage
from geolangbind.interleaved.segments import Date, GeoBox, GeoPoint, Image, PixelBox, Text


def render_sources(pairs: Pairs) -> Table:
    """Sources with their sizes and what they were made from."""
    table = Table(Column("source", no_wrap=True), Column("rows", justify="right"), "made from")
    for source in pairs.sources.values():
        told = {name: value for name, value in source.provenance.items() if isinstance(value, str | int | float)}
        table.add_row(source.name, f"{len(source):,}", escape(", ".join(f"{name} {value}" for name, value in told.items())))
    return table


def render_precision(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Precision at 1 by source: rows of a run's `validation.jsonl`, of one step."""
    table = Table(Column("held-out source", no_wrap=True), "P@1", "chance", "queries", "candidates")
    for row in rows:
        found, chance = f"{row['precision_1']:.1%}", f"{row['precision_1_chance']:.1%}"
        table.add_row(escape(row["source"]), found, chance, f"{row['n']:,}", f"{row['candidates']:,}")
    return table


def render_examples(pairs: Pairs, count: int = 3) -> Iterator[str]:
    """Up to `count` rows of each source, spread evenly, as lines of markup."""
    for source in pairs.sources.values():
        yield f"\n[bold]{escape(source.name)}[/]"
        shown = min(count, len(source))
        for row in source.read([number * len(source) // shown for number in range(shown)]):
            yield from _lines(row)


def _lines(row: AnyRow) -> Iterator[str]:
    yield f"  {_asked(row.instruction, row.query)}"
    if isinstance(row, RankingRow):
        for number in row.relevant:
            yield f"    → {escape(in_words(row.candidates[number]))}  [dim]of {len(row.candidates)} candidates[/]"
        return
    yield f"    → {_asked(row.target_instruction, row.target)}"
    for negative in row.negatives[:2]:
        yield f"    [dim]not {escape(in_words(negative))}[/]"


def _asked(instruction: str, sequence: Sequence) -> str:
    words = escape(in_words(sequence))
    return f"[dim]{escape(instruction)}[/] {words}" if instruction else words


def in_words(sequence: Sequence) -> str:
    """A sequence on one line: images, boxes and places in angle brackets."""
    return " ".join(_word(segment) for segment in sequence)


def _word(segment: object) -> str:
    match segment:
        case Text():
            return segment.text
        case Image():
            return f"<{segment.source.key if isinstance(segment.source, StoredImage) else segment.source}>"
        case PixelBox():
            return f"<box {segment.x0:g} {segment.y0:g} {segment.x1:g} {segment.y1:g}>"
        case GeoPoint():
            return f"<{segment.lat:.4f} {segment.lon:.4f}>"
        case GeoBox():
            return f"<{segment.west:.4f} {segment.south:.4f} {segment.east:.4f} {segment.north:.4f}>"
        case Date():
            return f"<{segment.day}>"
    return str(segment)
