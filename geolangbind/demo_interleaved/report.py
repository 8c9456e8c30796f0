"""What the demo leaves for people and for other programs: report.md, table.png, results.jsonl."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

from geolangbind.checkpoint import atomic_path
from geolangbind.demo_interleaved.bars import plot_table
from geolangbind.demo_interleaved.stages import Demo, Spans, wall_s
from geolangbind.demo_interleaved.table import Results, Shown, markdown
from geolangbind.instruct.ranking import measures
from geolangbind.study.report import insert_between

PICTURE, REPORT, RESULTS = "table.png", "report.md", "results.jsonl"


def write(demo: Demo, shown: Sequence[Shown], results: Results, spans: Spans) -> None:
    """Write everything into the demo's folder."""
    plot_table(demo.out / PICTURE, shown)
    lines = [json.dumps(row) for row in _rows(demo, results)]
    with atomic_path(demo.out / RESULTS) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with atomic_path(demo.out / REPORT) as part:
        part.write_text(f"# The interleaved encoder on the planet (synthetic)\n\n{body(demo, shown, spans)}\n", encoding="utf-8")


def body(demo: Demo, shown: Sequence[Shown], spans: Spans, picture: str = PICTURE) -> str:
    """Text and table; `picture` is where the picture lies, as seen from the text."""
    seeds = demo.profile.seeds
    told = (
        f"{date.today().isoformat()}, profile `{demo.profile.name}`, recipe {demo.profile.key()}, {seeds} seed{'s' * (seeds > 1)}, "
        f"{demo.split} scenes. {wall_s(spans) / 60:.1f} minutes in all."
    )
    spent = "Seconds per stage: " + "; ".join(f"{name} {ended - began:.0f}" for name, (began, ended) in spans.items()) + "."
    return "\n\n".join([told, "\n".join(markdown(shown)), f"![P@1 by task]({picture})", spent])


def insert(demo: Demo, shown: Sequence[Shown], spans: Spans, document: Path) -> None:
    """Put text, table and picture into a document, between the lines `<!-- interleaved -->` and `<!-- end of interleaved -->`.

    Raises:
        SettingsError: the document lacks them.
    """
    insert_between(document, "interleaved", body(demo, shown, spans, "images/interleaved.png"))
    (document.parent / "images").mkdir(exist_ok=True)
    shutil.copyfile(demo.out / PICTURE, document.parent / "images" / "interleaved.png")


def _rows(demo: Demo, results: Results) -> list[dict[str, object]]:
    """One row per ranking, model, seed and measure."""
    about = {"synthetic": True, "split": demo.split, "recipe": demo.profile.key()}
    found: list[dict[str, object]] = []
    for (task, model), runs in results.items():
        for seed, run in enumerate(runs):
            for one in measures(run, task, ""):
                told = asdict(one)
                found.append({"model": model, "seed": seed, **about, **{name: value for name, value in told.items() if value != ""}})
    return found
