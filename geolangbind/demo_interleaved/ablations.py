"""What each ingredient brings: short runs of the demo's recipe, one thing changed in each. Resumable."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from geolangbind.checkpoint import atomic_path
from geolangbind.demo_interleaved import ablation_report
from geolangbind.demo_interleaved.goals import OURS, Line, lines
from geolangbind.demo_interleaved.lanes import end_with_parent
from geolangbind.demo_interleaved.profile import short_hash
from geolangbind.demo_interleaved.stages import Demo, do, shared_stages
from geolangbind.demo_interleaved.standings import rank_all, ranking_rows
from geolangbind.demo_interleaved.table import measure_lines
from geolangbind.demo_interleaved.trained import as_ranked, settings_for, steps_done
from geolangbind.demo_interleaved.variants import Change, noisy, uninstructed, uninstructed_ranking, write_variant
from geolangbind.instruct.row import RankingRow
from geolangbind.instruct.rows import Pairs
from geolangbind.instruct.run import train

SHOWN = (
    "region -> phrase, relational", "region -> phrase, landmark", "phrase -> box, same image", "scene -> place, image",
    "scene -> place, image and text", "scene -> class", "scene -> caption", "two dates -> change",
)  # fmt: skip
"""Lines of the demo's table that are measured."""

SHOWN_OF_PLACES = tuple(f"scene -> place, {told}" for told in ("image", "image and text", "text only"))
"""Those of runs that learn places alone."""

_PLACES = ("place", "place_to_image")

_LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Ablation:
    """One run.

    Attributes:
        name: shown.
        recipe: what is different in the recipe.
        without: sources that are left out.
        places_alone: the sources are those of places, which so few steps do not teach beside all others; compared with its like.
        rows: what is done to the rows to train on.
        rankings: what is done to the rows to rank.
    """

    name: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    places_alone: bool = False
    rows: Change | None = None
    rankings: Callable[[RankingRow], RankingRow] | None = None


ABLATIONS = (
    Ablation(ablation_report.AS_IT_IS),
    Ablation("instruction removed", rows=uninstructed, rankings=uninstructed_ranking),
    Ablation("geo objective removed", without=_PLACES),
    *(Ablation(ablation_report.share_name(share), {"fraction": share}) for share in (0.01, 0.04, 0.16, 0.64)),
    Ablation("boxes do not look around", {"model": {"around": 0}}),
    Ablation("no differences of images", {"model": {"differences": False}}),
    Ablation("places alone", places_alone=True),
    *(
        Ablation(f"coordinate noise {degrees:g} degrees", places_alone=True, rows=partial(noisy, degrees=degrees))
        for degrees in (0.01, 0.1, 1.0)
    ),
    *(Ablation(f"places as {form}", {"rendering": {"place": form}}, places_alone=True) for form in ("text", "token")),
)


def run_ablations(demo: Demo, steps: int, ablations: Sequence[Ablation] = ABLATIONS) -> Path:
    """Run what is not in `ablations/results.jsonl` yet, in the demo's folder and on its world.

    Args:
        demo: whose recipe, world and split are used; its first seed.
        steps: of each run.
        ablations: the first of them, and of those of places alone, is what the others are compared with.

    Returns:
        The path of the report.
    """
    torch.set_num_threads(demo.threads)
    console, began, out = Console(highlight=False, quiet=not demo.progress), time.perf_counter(), demo.out / "ablations"
    do(shared_stages(demo), console)
    path = out / "results.jsonl"
    held, wanted, todo = _read(path), list[str](), list[tuple[str, Ablation, dict[str, Any]]]()
    for number, ablation in enumerate(ablations, 1):
        recipe = _recipe(demo, ablation, steps)
        key = short_hash({"name": ablation.name, "recipe": recipe, "split": demo.split, "data": _fingerprint(demo)})
        wanted.append(key)
        if key in held:
            console.print(f"{number}/{len(ablations)} {ablation.name}: done before")
        else:
            todo.append((key, ablation, recipe))
    for key, row in _run_all(demo, todo, console):
        held[key] = row | {"key": key, "steps": steps}
        with atomic_path(path) as part:
            part.write_text("".join(json.dumps(one) + "\n" for one in held.values()), encoding="utf-8")
        console.print(f"{row['name']}: {row['seconds']:.0f} s")
    found = [held[key] for key in wanted]
    report = ablation_report.write(out, found)
    spent, now = sum(row["seconds"] for row in found), time.perf_counter() - began
    console.print(f"{spent / 60:.1f} minutes of runs; this time it took {now / 60:.1f}. Table and curve: {report}; figures: {path}")
    return report


def _run_all(demo: Demo, todo: Sequence[tuple[str, Ablation, dict[str, Any]]], console: Console) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run them, side by side where there are cores for it, and yield what each finds as soon as it is there."""
    at_once, out = min(demo.threads, len(todo)), demo.out / "ablations"
    if at_once < 2:
        for key, ablation, recipe in todo:
            console.rule(f"[bold]{ablation.name}", align="left")
            yield key, _run(demo, ablation, recipe, out / key)
        return
    theirs = replace(demo, threads=demo.threads // at_once, progress=False)
    with Progress(console=console, disable=not demo.progress) as bar:
        task = bar.add_task(f"{len(todo)} runs, {at_once} at a time", total=sum(recipe["steps"] for _, _, recipe in todo))
        # spawned, not forked: torch's threads in this process do not survive a fork
        pool = ProcessPoolExecutor(at_once, get_context("spawn"), _start_worker, (theirs.threads,))
        try:
            running = {pool.submit(_run, theirs, ablation, recipe, out / key): key for key, ablation, recipe in todo}
            while running:
                done, _ = wait(running, timeout=_LOOK_EVERY_S, return_when=FIRST_COMPLETED)
                yield from ((running.pop(one), one.result()) for one in done)
                bar.update(task, completed=sum(steps_done(out / key) for key, _, _ in todo))
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker(threads: int) -> None:
    torch.set_num_threads(threads)
    end_with_parent()


def _recipe(demo: Demo, ablation: Ablation, steps: int) -> dict[str, Any]:
    recipe = {**demo.profile.recipe, "steps": steps}
    for name, told in ablation.recipe.items():
        recipe[name] = {**recipe[name], **told} if isinstance(told, Mapping) else told
    kept = _PLACES if ablation.places_alone else [name for name in recipe["sources"] if name not in ablation.without]
    return {**recipe, "sources": {name: recipe["sources"][name] for name in kept}}


def _fingerprint(demo: Demo) -> dict[str, str]:
    return {f"{split}/{name}": source.sha256 for split in ("train", demo.split) for name, source in demo.pairs(split).sources.items()}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines()) if path.is_file() else ()
    return {row["key"]: row for row in rows}


def _run(demo: Demo, ablation: Ablation, recipe: Mapping[str, Any], run_dir: Path) -> dict[str, Any]:
    began, pairs, held = time.perf_counter(), demo.pairs("train"), demo.pairs(demo.split)
    if ablation.rows is not None:
        pairs = write_variant(pairs, demo.out / "ablations" / "pairs", ablation.name.replace(" ", "-").replace(".", "_"), ablation.rows)
    settings = settings_for(recipe, pairs, demo.features, run_dir, 0, demo.threads)
    model = as_ranked(train(replace(settings, progress=demo.progress)), held, demo.features, progress=demo.progress)
    titles = SHOWN_OF_PLACES if ablation.places_alone else SHOWN
    asked = [line for line in lines() if line.model == OURS and line.title in titles]
    tasks = {task for line in asked for task in line.tasks}
    standings = rank_all({task: _rows(held, task, ablation) for task in held.sources if task in tasks}, model, sorted(tasks))
    shown = measure_lines([Line(line.title, OURS, line.tasks) for line in asked], {(task, OURS): [one] for task, one in standings.items()})
    figures = {
        one.title: {"p1": one.value, "low": one.interval[0], "high": one.interval[1], "chance": one.chance, "n": one.queries}
        for one in shown
    }
    told = {"name": ablation.name, "seed": 0, "split": demo.split, "synthetic": True, "recipe": recipe}
    return told | {"places_alone": ablation.places_alone, "figures": figures, "seconds": time.perf_counter() - began}


def _rows(pairs: Pairs, task: str, ablation: Ablation) -> list[RankingRow]:
    rows = ranking_rows(pairs, task)
    return rows if ablation.rankings is None else [ablation.rankings(row) for row in rows]
