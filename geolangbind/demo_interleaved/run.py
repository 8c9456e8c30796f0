"""Run the interleaved demo: say what is done, do what is not, and end with the table."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from rich.console import Console

from geolangbind.demo_interleaved import report
from geolangbind.demo_interleaved.goals import lines
from geolangbind.demo_interleaved.lanes import do_all
from geolangbind.demo_interleaved.stages import Demo, results_of, wall_s
from geolangbind.demo_interleaved.table import measure_lines, terminal

_WIDTH = 190
"""Of the table, also where the terminal is narrower or a file."""


def run_demo(demo: Demo, into: Path | None = None) -> Path:
    """Run or continue a demo.

    Args:
        demo: which, and where.
        into: a document to put the table into, too.

    Returns:
        The path of its report.

    Raises:
        GeoLangBindError: its folder holds the world of another one, what it needs cannot be read, or a process of it was killed.
    """
    torch.set_num_threads(demo.threads)
    console, began = Console(highlight=False, quiet=not demo.progress), time.perf_counter()
    console.print(f"interleaved demo, profile {demo.profile.name}, on the synthetic planet; writing to {demo.out}")
    spans = do_all(demo, console)
    results = results_of(demo)
    shown = measure_lines(lines(), results)
    report.write(demo, shown, results, spans)
    if into is not None:
        report.insert(demo, shown, spans, into)
    wide = Console(highlight=False, quiet=not demo.progress, width=max(console.width, _WIDTH))
    wide.print(terminal(shown, f"{demo.split} scenes, {demo.profile.seeds} seed{'s' * (demo.profile.seeds > 1)}"))
    now = time.perf_counter() - began
    console.print(f"{wall_s(spans) / 60:.1f} minutes in all, {now / 60:.1f} of them now. Table and picture: {demo.out / report.REPORT}")
    console.print(f"figures: {demo.out / report.RESULTS}; the encoder: {demo.folder(0) / 'interleaved' / 'model'}", soft_wrap=True)
    return demo.out / report.REPORT
