"""Run the demo: print the budget, do what is not done, score, report."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from geolangbind.demo import report as reporting
from geolangbind.demo import score
from geolangbind.demo.look import look
from geolangbind.demo.profile import Profile, get_profile
from geolangbind.demo.stages import Stage, stages
from geolangbind.errors import SettingsError


def run_demo(profile_name: str, out: Path, seed: int, threads: int) -> Path:
    """Run or continue a demo below `out`; returns the path of its report.

    Raises:
        SettingsError: `out` holds a demo of another profile or seed.
    """
    profile = get_profile(profile_name)
    console = Console(highlight=False)
    _claim(out, profile, seed)
    torch.set_num_threads(threads)
    todo = stages(profile, out, seed, threads)
    console.print(_budget(todo, profile, out))
    seconds = _seconds(out)
    for number, stage in enumerate(todo, 1):
        if not stage.done():
            console.rule(f"[bold]{number}/{len(todo)} {stage.name}", align="left")
            began = time.perf_counter()
            stage.run()
            seconds[stage.name] = seconds.get(stage.name, 0) + time.perf_counter() - began
            (out / "seconds.json").write_text(json.dumps(seconds, indent=1), encoding="utf-8")
    console.rule("[bold]scores", align="left")
    began = time.perf_counter()
    table = score.score_models(profile, out)
    swept = score.sweep(profile, out)
    best, table["merged-best"] = score.score_best(out, swept)
    seconds["scores"] = time.perf_counter() - began
    began = time.perf_counter()
    sections = look(profile, out, seed)
    seconds["retrieval, masks, alignment, crash test"] = time.perf_counter() - began
    found = score.write_report_json(out / "report.json", profile, table, swept, best, seconds)
    reporting.write(out, found, sections)
    shutil.rmtree(out / "sweep", ignore_errors=True)
    console.print(reporting.render(found))
    for line in reporting.findings(found):
        console.print(f"  {line}")
    console.print(f"{sum(seconds.values()) / 60:.1f} minutes in all. Report and pictures: [bold]{out / 'report.md'}[/]")
    console.print(f'next: geolangbind classify YOUR.tif --model {out / "merged"} --labels "forest, harbour, solar farm"')
    return out / "report.json"


def _claim(out: Path, profile: Profile, seed: int) -> None:
    """Refuse to mix two demos in one folder."""
    told = out / "profile.json"
    mine = {"profile": profile.name, "seed": seed}
    if told.is_file() and json.loads(told.read_text(encoding="utf-8")) != mine:
        raise SettingsError(f"{out} holds a demo of {told.read_text(encoding='utf-8').strip()}, not of {mine}; give --out, or delete it")
    out.mkdir(parents=True, exist_ok=True)
    told.write_text(json.dumps(mine), encoding="utf-8")


def _seconds(out: Path) -> dict[str, float]:
    path = out / "seconds.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _budget(todo: list[Stage], profile: Profile, out: Path) -> Table:
    scoring = 0.04 * profile.held_out + 4 * len(profile.m2_grid)
    looking = 0.05 * profile.held_out + 0.1 * profile.head_steps + 0.6 * profile.crash_places
    rows = [
        *todo,
        Stage("scores, sweep of m2, report", scoring, lambda: False, lambda: None),
        Stage("retrieval, masks, alignment, crash test", looking, lambda: False, lambda: None),
    ]
    left = sum(stage.seconds for stage in rows if not stage.done())
    table = Table(title=f"demo, profile {profile.name}: about {left / 60:.0f} minutes on two cores, writing to {out}")
    table.add_column("stage")
    table.add_column("about", justify="right")
    table.add_column("")
    for stage in rows:
        about = f"{stage.seconds:.0f} s" if stage.seconds < 90 else f"{stage.seconds / 60:.0f} min"
        table.add_row(stage.name, about, "done" if stage.done() else "")
    return table
