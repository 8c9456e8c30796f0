"""The report of a run: `report.md` and `curves.png`, made from its logs when it is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from geolangbind.checkpoint import atomic_path
from geolangbind.train.facts import Facts, facts_rows
from geolangbind.train.log import read_rows
from geolangbind.train.progress import rates
from geolangbind.train.settings import TrainSettings
from geolangbind.train.summary import Row, concerns, gradient_shares, last_losses, last_validation, loss_columns, median_norms

_HOW_TO_READ = (
    "A step has one modality; its share of the gradient is that of its steps' squared norms (after clipping) in the sum over all steps. "
    "A ratio near 1 means that a modality pulls as often as it comes, one above 2 that it dominates what the shared weights learn."
)


def write_report(settings: TrainSettings, facts: Facts, skipped: Sequence[str] = ()) -> None:
    """Write both into `settings.run_dir`; nothing for a run without a logged step."""
    from geolangbind.train.curves import plot_run  # matplotlib takes longer to import than a small run to start

    run_dir = Path(settings.run_dir)
    rows, validation = read_rows(run_dir / "metrics.jsonl"), read_rows(run_dir / "validation.jsonl")
    if not rows:
        return
    plot_run(run_dir / "curves.png", rows, validation, settings.optim.clip_norm)
    with atomic_path(run_dir / "report.md") as part:
        part.write_text("\n".join(report_lines(settings, facts, rows, validation, skipped)) + "\n", encoding="utf-8")


def report_lines(
    settings: TrainSettings, facts: Facts, rows: Sequence[Row], validation: Sequence[Row], skipped: Sequence[str] = ()
) -> list[str]:
    """The report in Markdown.

    Args:
        settings: of the run.
        facts: what the settings do not say.
        rows: of metrics.jsonl, at least one.
        validation: rows of validation.jsonl.
        skipped: bad samples, in words.
    """
    told = concerns(rows, settings.optim.clip_norm)
    if validation and settings.validation.data == settings.data:
        told.append("The validation data is the training data: its figures say nothing about other places.")
    if skipped:
        first = "; ".join(f"`{problem}`" for problem in skipped[:3])
        told.append(f"{len(skipped)} samples were bad and others stood in for them (on_error=skip). The first: {first}")
    return [
        f"# Run `{settings.sensor_group.name}`",
        "",
        *table(["", ""], facts_rows(settings, facts)),
        "",
        _time(settings, rows, validation),
        "",
        *([f"- **Note:** {line}" for line in told] or ["Nothing stood out in waiting, gradients and clipping."]),
        "",
        "![curves](curves.png)",
        "",
        "## Losses",
        "",
        "Mean over the last tenth of each sensor's steps.",
        "",
        *_losses(rows),
        *_validation(validation),
        "",
        "## Gradient share",
        "",
        _HOW_TO_READ,
        "",
        *_shares(rows, settings.optim.clip_norm),
    ]


def _time(settings: TrainSettings, rows: Sequence[Row], validation: Sequence[Row]) -> str:
    samples_per_s, wait = rates(rows)
    seconds = len(rows) * settings.batch_size / samples_per_s if samples_per_s else 0.0
    line = f"{len(rows):,} steps in {clock(seconds)}: {samples_per_s:,.0f} samples/s, {wait:.1%} of the time waiting for data."
    measured = sum(row["seconds"] for row in validation)
    return line + (f" Validation took {clock(measured)} more." if validation else "")


def _losses(rows: Sequence[Row]) -> list[str]:
    columns, found = loss_columns(rows), last_losses(rows)
    counts = {name: sum((row["modality"], row["sensor"]) == name for row in rows) for name in found}
    body = [
        [*name, f"{counts[name]:,}", *(f"{losses[column]:.4f}" if column in losses else "" for column in columns)]
        for name, losses in found.items()
    ]
    return table(["modality", "sensor", "steps", *columns], body)


def _validation(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    last = last_validation(rows)
    body = []
    for row in last:
        own = [other for other in rows if other["modality"] == row["modality"]]
        measures = [_with_best(row, own, name) for name in ("zero_shot", "recall_1", "recall_5")]
        body.append([row["modality"], ", ".join(row["sensors"]), *measures, str(row["n"])])
    how = " of the averaged weights" if last[0]["averaged"] else ""
    return [
        "",
        "## Validation",
        "",
        f"In percent{how}, after step {last[0]['step']:,}, chance in brackets. Retrieval: image to text among the distinct first captions.",
        "",
        *table(["modality", "sensors", "zero-shot top-1", "R@1", "R@5", "n"], body),
    ]


def _with_best(row: Row, own: Sequence[Row], name: str) -> str:
    """A measure with its chance and, where it was better once, the best with its step."""
    if name not in row:
        return ""
    value, step = max((other[name], -other["step"]) for other in own if name in other)
    once = f", best {100 * value:.1f} at {-step:,}" if value > row[name] else ""
    return f"{100 * row[name]:.1f} ({100 * row[f'{name}_chance']:.1f}){once}"


def _shares(rows: Sequence[Row], clip_norm: float) -> list[str]:
    norms = median_norms(rows)
    body = [
        [name, f"{share.steps:.1%}", f"{share.gradient:.1%}", f"{share.ratio:.2f}", f"{norms[name]:.3g}"]
        for name, share in gradient_shares(rows, clip_norm).items()
    ]
    return table(["modality", "steps", "gradient", "ratio", "median norm before clipping"], body)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def clock(seconds: float) -> str:
    """Seconds for people."""
    return f"{seconds:.1f} s" if seconds < 100 else str(timedelta(seconds=round(seconds)))
