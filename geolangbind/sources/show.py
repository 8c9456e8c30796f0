"""Cards and build reports as tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from geolangbind.sensors import get_sensor
from geolangbind.sources.build import Report
from geolangbind.sources.card import UNKNOWN, Card, list_cards, load_card
from geolangbind.sources.plan import Plan

_SHOWN_REASONS = 20


class BuildProgress:
    """A progress bar over the records of a build; a context manager."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("samples"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console)

    def begin(self, plan: Plan) -> Callable[[int], None]:
        """Show the plan's number of records; returns what is told of every record done."""
        task = self._bar.add_task(f"building {plan.card.name}", total=plan.count)
        return lambda done: self._bar.advance(task, done)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def render_cards() -> Table:
    """Return all cards that ship, one per line."""
    table = Table(Column("name", no_wrap=True), "tasks", "sensors", "samples", "classes", Column("licence", no_wrap=True))
    for name in list_cards():
        card = load_card(name)
        sensors = ", ".join(dict.fromkeys(view.sensor for view in card.views.values()))
        classes = str(len(card.classes) or len(card.mask_classes) or "")
        table.add_row(name, ", ".join(card.tasks), sensors, _total(card), classes, re.split(r"[;(]", card.licence)[0].strip())
    return table


def render_card(card: Card) -> Iterator[RenderableType]:
    """Yield the parts of one card."""
    facts = Table.grid(padding=(0, 2))
    for name in ("title", "tasks", "licence", "source", "revision", "product_level", "citation"):
        value = getattr(card, name)
        facts.add_row(name.replace("_", " "), ", ".join(value) if isinstance(value, tuple) else value)
    facts.add_row("samples", ", ".join(f"{split} {count or UNKNOWN}" for split, count in card.splits.items()) or UNKNOWN)
    facts.add_row("captions", ", ".join(card.captions))
    for kind, lines in (("contamination", card.contamination), ("note", card.notes)):
        for line in lines:
            facts.add_row(kind, line)
    yield facts
    views = Table("view", "sensor", "bands", "unit", "pixels", "read from (first found)")
    for view in card.views.values():
        bands = ",".join(view.bands) if view.bands and len(view.bands) <= 13 else str(len(view.bands or get_sensor(view.sensor).bands))
        size = f"{view.size_px or '?'} px at {f'{view.gsd_m:g} m' if view.gsd_m else '?'}" + (
            "" if view.fit == "whole" else f", {view.fit}"
        )
        unit = str(view.unit or get_sensor(view.sensor).unit)
        views.add_row(view.name, view.sensor, bands, unit, size, "\n".join(f"{place.reader} {place.spec}" for place in view.places))
    yield views
    if card.classes:
        classes = Table("class", "words")
        for name, words in card.classes.items():
            classes.add_row(name, ", ".join(words))
        yield classes


def render_report(report: Report) -> Iterator[RenderableType]:
    """Yield what a build did: samples by view and split, what was skipped and why, what the card expected otherwise."""
    done = f"{report.written} of {report.blocks} blocks written now" if report.written else "nothing to do, all blocks were there"
    yield f"{report.card} in {report.out}: {report.count} samples, {done}"
    table = Table("view", "split", "samples")
    for view, counts in report.samples.items():
        for split, count in counts.items():
            table.add_row(view, split, str(count))
    yield table
    for view in report.missing:
        yield f"[yellow]view {view}: its files are not under the root[/]"
    for line in _differences(report):
        yield f"[yellow]{line}[/]"
    if report.wordless:
        yield f"[yellow]{report.wordless} samples have neither caption nor label; give some with --captions FILE.jsonl or in the card[/]"
    if report.skipped:
        reasons = Counter((entry.view, entry.why) for entry in report.skipped)
        skipped = Table("view", "samples", "first", "skipped because", style="red")
        for (view, why), count in reasons.most_common(_SHOWN_REASONS):
            first = next(entry.place for entry in report.skipped if (entry.view, entry.why) == (view, why))
            skipped.add_row(view, str(count), first, why)
        yield skipped
        if len(reasons) > _SHOWN_REASONS:
            yield f"and {len(reasons) - _SHOWN_REASONS} more reasons; --json lists every sample"


def _differences(report: Report) -> Iterator[str]:
    for view, counts in report.samples.items():
        for split, expected in report.expected.items():
            if expected is not None and split in counts and counts[split] != expected:
                yield f"view {view}: {counts[split]} {split} samples, the card expects {expected}"


def _total(card: Card) -> str:
    counts = list(card.splits.values())
    return UNKNOWN if not counts or None in counts else f"{sum(count or 0 for count in counts):,}"
