"""Run the interleaved demo: say what is done, do what is not, and end with the table."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from rich.console import Console

from geolangbind.checkpoint import atomic_path
from geolangbind.demo_interleaved import report
from geolangbind.demo_interleaved.goals import lines
from geolangbind.demo_interleaved.stages import Demo, Stage, results_of, stages
from geolangbind.demo_interleaved.table import measure_lines, terminal


def run_demo(demo: Demo, into: Path | None = None) -> Path:
    """Run or continue a demo.

    Args:
        demo: which, and where.
        into: a document to put the table into, too.

    Returns:
        The path of its report.

    Raises:
        GeoLangBindError: its folder holds the world of another one, or what it needs cannot be read.
    """
    torch.set_num_threads(demo.threads)
    console, began = Console(highlight=False, quiet=not demo.progress), time.perf_counter()
    console.print(f"interleaved demo, profile {demo.profile.name}, on the synthetic planet; writing to {demo.out}")
    seconds = do(stages(demo), demo.out, console)
    results = results_of(demo)
    shown = measure_lines(lines(), results)
    report.write(demo, shown, results, seconds)
    if into is not None:
        report.insert(demo, shown, seconds, into)
    console.print(terminal(shown, f"{demo.split} scenes, seeds 0 to {demo.profile.seeds - 1}"))
    now = time.perf_counter() - began
    console.print(f"{sum(seconds.values()) / 60:.1f} minutes in all, {now / 60:.1f} of them now. Table and picture: {demo.out / report.REPORT}")
    console.print(f"figures: {demo.out / report.RESULTS}; the encoder: {demo.folder(0) / 'interleaved' / 'model'}")
    return demo.out / report.REPORT


def do(todo: Iterable[Stage], out: Path, console: Console) -> dict[str, float]:
    """Do the stages that are not done.

    Returns:
        Seconds that each of them took, now or before.
    """
    path, todo = out / "seconds.json", list(todo)
    held: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for number, stage in enumerate(todo, 1):
        if stage.done():
            console.print(f"{number}/{len(todo)} {stage.name}: done before")
            continue
        console.rule(f"[bold]{number}/{len(todo)} {stage.name}", align="left")
        began = time.perf_counter()
        stage.run()
        held[stage.name] = time.perf_counter() - began
        with atomic_path(path) as part:
            part.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    return {stage.name: held[stage.name] for stage in todo if stage.name in held}
