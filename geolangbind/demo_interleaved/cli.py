"""`geolangbind demo-interleaved` and `ablate-interleaved`. Light to import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_PROFILE = Annotated[
    str, typer.Option(help="quick (one seed; 15 minutes on two cores), full (three seeds of more steps on twice the scenes), smoke.")
]
_OUT = Annotated[Path | None, typer.Option(help="Folder; by default runs/demo-interleaved-PROFILE.")]
_SPLIT = Annotated[str, typer.Option(help="Held-out scenes to rank: test, or validation as long as a recipe is being chosen.")]
_THREADS = Annotated[int, typer.Option(min=1, help="Torch threads.")]
_CORES = Annotated[int, typer.Option(min=1, help="Cores: as many processes where stages do not wait for each other, else torch threads.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(demo_interleaved)
    app.command()(ablate_interleaved)


def demo_interleaved(
    profile: _PROFILE = "quick",
    out: _OUT = None,
    seeds: Annotated[int, typer.Option(min=0, help="Models of each kind; 0 for the profile's number.")] = 0,
    split: _SPLIT = "test",
    threads: _CORES = 2,
    into: Annotated[Path | None, typer.Option(help="Markdown file to put the table into, between its interleaved markers.")] = None,
) -> None:
    """The interleaved encoder on the synthetic planet, beside its controls: world, training, rankings, table. Resumable."""
    from dataclasses import replace

    from geolangbind.demo_interleaved.profile import get_profile
    from geolangbind.demo_interleaved.run import run_demo
    from geolangbind.demo_interleaved.stages import Demo

    chosen = get_profile(profile)
    chosen = replace(chosen, seeds=seeds or chosen.seeds)
    run_demo(Demo(chosen, out or _folder(profile), split, threads), into)


def ablate_interleaved(
    profile: _PROFILE = "quick",
    out: _OUT = None,
    steps: Annotated[int, typer.Option(min=0, help="Of each run; 0 for the profile's number.")] = 0,
    split: _SPLIT = "test",
    threads: _THREADS = 2,
) -> None:
    """Short runs of the demo's recipe with one thing changed in each: instruction, places, noise, data size. Resumable."""
    from geolangbind.demo_interleaved.ablations import run_ablations
    from geolangbind.demo_interleaved.profile import get_profile
    from geolangbind.demo_interleaved.stages import Demo

    chosen = get_profile(profile)
    run_ablations(Demo(chosen, out or _folder(profile), split, threads), steps or chosen.ablation_steps)


def _folder(profile: str) -> Path:
    return Path(f"runs/demo-interleaved-{profile}")
