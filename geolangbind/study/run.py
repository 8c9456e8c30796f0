"""Run the study: the shared part, then every cell, two processes of one thread each, resumable at any point."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from geolangbind.demo.profile import Profile
from geolangbind.demo.stages import stages
from geolangbind.errors import SettingsError
from geolangbind.study import report, unseen
from geolangbind.study.arms import ARMS, BASE, FEWEST_SEEDS, MOST_SEEDS, SHARED, Arm, needed
from geolangbind.study.cells import is_done, run_cell

_SHARED_STAGES = 7  # of the demo: planet, held-out and tuning scenes, base in two parts, teachers, their features
_UNSEEN_SCENES = 480
_UNSEEN_SEED = 1000  # as the demo's held-out scenes: of no seed that training sees
_ZERO_SHOT_S = 12.0
_MEASURING_S = {"probes": 25.0, "unseen": 25.0}
Cell = tuple[str, int]


def run_study(out: Path, seeds: int, jobs: int = 2, shared: Profile = SHARED, arms: Sequence[Arm] = ARMS, scale: float = 1.0) -> Path:
    """Run or continue the study below `out` and write its report.

    Args:
        out: folder.
        seeds: number of seeds, from 0.
        jobs: processes, one thread each.
        shared: sizes of planet, base and teachers.
        arms: those to run, in an order in which each comes after those it needs.
        scale: factor of all steps; for tests.

    Returns:
        The path of `report.md`.

    Raises:
        SettingsError: an impossible number of seeds or jobs.
    """
    if not FEWEST_SEEDS <= seeds <= MOST_SEEDS or jobs < 1:
        raise SettingsError(f"seeds must be {FEWEST_SEEDS} to {MOST_SEEDS} and jobs at least 1, got {seeds} and {jobs}")
    console = Console(highlight=False)
    ready = stages(shared, out / "shared", 0, jobs)[:_SHARED_STAGES]
    cells: list[Cell] = [(BASE, 0), *((arm.name, seed) for seed in range(seeds) for arm in arms)]
    todo = [cell for cell in cells if not is_done(out, *cell)]
    console.print(_estimate(arms, seeds, jobs, len(cells) - len(todo), sum(stage.seconds for stage in ready if not stage.done()), todo))
    for stage in ready:
        if not stage.done():
            console.rule(f"[bold]{stage.name}", align="left")
            stage.run()
    if not (out / "shared" / "unseen" / "index.json").is_file():
        unseen.write_unseen(out / "shared" / "unseen", min(_UNSEEN_SCENES, shared.held_out), _UNSEEN_SEED, workers=jobs, progress=True)
    _run_cells(out, cells, todo, jobs, shared, scale)
    return report.write(out, seeds, arms)


def _run_cells(out: Path, cells: Sequence[Cell], todo: Sequence[Cell], jobs: int, shared: Profile, scale: float) -> None:
    """Start each cell once those it needs are done; the first failure ends the study, what is finished stays."""
    waiting, by_name = list(todo), {arm.name: arm for arm in ARMS}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # spawned, not forked: torch's threads in this process do not survive a fork
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool, Progress(*columns) as progress:
        bar = progress.add_task("cells", total=len(cells), completed=len(cells) - len(todo))
        running: dict[Future[None], Cell] = {}
        while waiting or running:
            for cell in [cell for cell in waiting if _may_start(out, cell, by_name)]:
                waiting.remove(cell)
                running[pool.submit(run_cell, out, *cell, shared, 1, scale)] = cell
            progress.update(bar, description=f"cells: {', '.join(f'{name} {seed}' for name, seed in list(running.values())[:jobs])}")
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                running.pop(future)
                future.result()
                progress.advance(bar)


def _may_start(out: Path, cell: Cell, by_name: dict[str, Arm]) -> bool:
    name, seed = cell
    return name == BASE or all(is_done(out, other, seed) for other in needed(by_name[name]))


def _estimate(arms: Sequence[Arm], seeds: int, jobs: int, done: int, shared_s: float, todo: Sequence[Cell]) -> Table:
    by_name = {arm.name: arm for arm in arms}
    table = Table(title="the study on the synthetic planet")
    for column in ("arm", "what", "about, per seed"):
        table.add_column(column)
    cost = {arm.name: arm.steps * arm.step_s + _ZERO_SHOT_S + sum(_MEASURING_S[measure] for measure in arm.measures) for arm in arms}
    for arm in arms:
        table.add_row(arm.name, arm.what, f"{cost[arm.name]:.0f} s")
    left = shared_s + sum(cost[name] for name, _ in todo if name in by_name) / jobs
    told = f"{seeds} seed{'s' * (seeds > 1)}, {len(arms) * seeds + 1} cells, {done} done"
    table.caption = f"{told}; about {left / 60:.0f} minutes left with {jobs} processes"
    return table
