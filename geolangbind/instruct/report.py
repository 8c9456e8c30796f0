"""The report of an interleaved run: `report.md` and `curves.png`, made from its logs when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geolangbind.checkpoint import atomic_path
from geolangbind.instruct.reading import Chosen
from geolangbind.instruct.settings import InterleavedSettings
from geolangbind.train.log import read_rows
from geolangbind.train.progress import rates
from geolangbind.train.report import clock, table
from geolangbind.train.summary import MOST_CLIPPED, MOST_WAIT, Row, clipped_share, last_validation


def write_report(settings: InterleavedSettings, sources: Sequence[Chosen]) -> None:
    """Write both into `settings.run_dir`; nothing for a run without a logged step."""
    from geolangbind.instruct.curves import plot_run  # matplotlib takes longer to import than a small run to start

    run_dir = Path(settings.run_dir)
    rows, validation = read_rows(run_dir / "metrics.jsonl"), read_rows(run_dir / "validation.jsonl")
    if not rows:
        return
    plot_run(run_dir / "curves.png", rows, validation)
    with atomic_path(run_dir / "report.md") as part:
        part.write_text("\n".join(report_lines(settings, sources, rows, validation)) + "\n", encoding="utf-8")


def report_lines(settings: InterleavedSettings, sources: Sequence[Chosen], rows: Sequence[Row], validation: Sequence[Row]) -> list[str]:
    """The report in Markdown.

    Args:
        settings: of the run.
        sources: what it drew from.
        rows: of metrics.jsonl, at least one.
        validation: rows of validation.jsonl.
    """
    tail = rows[-max(1, len(rows) // 10) :]
    loss = sum(row["loss"] for row in tail) / len(tail)
    told = _concerns(settings, rows)
    return [
        "# Interleaved encoder",
        "",
        _time(settings, rows, validation),
        f"Loss {loss:.4f} over the last tenth of the steps, temperature {rows[-1]['temperature']:.4f} at the end.",
        "",
        *([f"- **Note:** {line}" for line in told] or ["Nothing stood out in waiting and clipping."]),
        "",
        "![curves](curves.png)",
        "",
        *_validation(validation),
        "## Sources",
        "",
        *_sources(sources),
    ]


def _time(settings: InterleavedSettings, rows: Sequence[Row], validation: Sequence[Row]) -> str:
    draws_per_s, wait = rates(rows)
    seconds = len(rows) * settings.batch_size / draws_per_s if draws_per_s else 0.0
    line = f"{len(rows):,} steps of {settings.batch_size:,} draws in {clock(seconds)}, {wait:.1%} of it waiting for data."
    return line + (f" Validation took {clock(sum(row['seconds'] for row in validation))} more." if validation else "")


def _concerns(settings: InterleavedSettings, rows: Sequence[Row]) -> list[str]:
    told, clip_norm = [], settings.optim.clip_norm
    wait = rates(rows[1:])[1]  # the first batch is waited for while the readers start
    if wait > MOST_WAIT:
        told.append(f"{wait:.0%} of the time went into waiting for data; set feature_cache, or give machine.workers a process more.")
    clipped = clipped_share(rows, clip_norm) if clip_norm else 0.0
    if clipped > MOST_CLIPPED:
        told.append(f"{clipped:.0%} of the steps were clipped to a gradient norm of {clip_norm:g}.")
    if settings.validation.pairs and Path(settings.validation.pairs).resolve() == Path(settings.pairs).resolve():
        told.append("The held-out pairs are the training pairs: precision says nothing about other images.")
    return told


def _validation(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    last = last_validation(rows)
    body = []
    for row in last:
        value, step = max((other["precision_1"], -other["step"]) for other in rows if other["source"] == row["source"])
        once = f", best {100 * value:.1f} at {-step:,}" if value > row["precision_1"] else ""
        found, chance = f"{100 * row['precision_1']:.1f}{once}", f"{100 * row['precision_1_chance']:.1f}"
        body.append([row["source"], found, chance, f"{row['n']:,}", f"{row['candidates']:,}"])
    how = " of the averaged weights" if last[0]["averaged"] else ""
    header = ["source", "P@1, %", "chance, %", "queries", "candidates"]
    return ["## Held-out pairs", "", f"Precision at 1{how} after step {last[0]['step']:,}.", "", *table(header, body), ""]


def _sources(sources: Sequence[Chosen]) -> list[str]:
    total = sum(source.weight for source in sources)
    body = [[one.name, f"{len(one.rows):,}", f"{one.weight / total:.1%}", str(one.together)] for one in sources]
    return table(["source", "rows", "share of draws", "rows of a draw"], body)
