"""Commands that try merges on a validation set: sweep, soup."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from geolangbind.errors import SettingsError

if TYPE_CHECKING:
    from geolangbind.evaluate.suite import Labelled

console = Console(highlight=False)
notices = Console(stderr=True, highlight=False, soft_wrap=True)
_SUITES = {"planet": ("runs/demo/planet-tune", "scene_class")}
"""Labelled shards and their label by suite; all are zero-shot classification."""

SuiteName = Annotated[str, typer.Option("--suite", help="What to measure: planet (zero-shot classification of labelled planet shards).")]
Data = Annotated[str | None, typer.Option("--data", help="Folder of labelled shards to choose on; by default the demo's tuning scenes.")]
Label = Annotated[str | None, typer.Option("--label", help="Which label of the shards is the truth; by default scene_class.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the main program."""
    app.command("sweep")(sweep)
    app.command("soup")(soup)


def sweep(
    base: Annotated[str, typer.Option(help="Model or run folder both branches started from.")] = "runs/base",
    rgb: Annotated[str, typer.Option(help="The RGB branch.")] = "runs/rgb",
    others: Annotated[str, typer.Option(help="The branch of the other sensors.")] = "runs/others",
    m1: Annotated[
        str, typer.Option(help="Coefficients of rgb: start:stop:step, both ends included, or a comma-separated list.")
    ] = "0:1:0.1",
    m2: Annotated[str, typer.Option(help="Coefficients of others, alike.")] = "0:1:0.1",
    suite: SuiteName = "planet",
    data: Data = None,
    label: Label = None,
    out: Annotated[Path, typer.Option(help="Folder to write; an interrupted sweep continues there.")] = Path("runs/sweep"),
    generator: Annotated[str, typer.Option(help="Kernel generator: average, or last (taken from others).")] = "average",
) -> None:
    """Score merges base + m1 (rgb - base), then + m2 (others - that), on a validation set: heatmap, best pair, Pareto front.

    Example: geolangbind sweep --base runs/demo/base --rgb runs/demo/rgb --others runs/demo/others --m1 0:1:0.1 --m2 0:1:0.1
    """
    from geolangbind.sweep.grid import parse_grid

    grids = parse_grid(m1, "--m1"), parse_grid(m2, "--m2")
    chosen = _suite(suite, data, label)
    from rich.progress import track

    from geolangbind.sweep.report import findings, render
    from geolangbind.sweep.run import Request
    from geolangbind.sweep.run import sweep as run

    request = Request(base, rgb, others, *grids, chosen, out, generator, shlex.join(["geolangbind", *sys.argv[1:]]))
    report = run(request, lambda pairs: track(pairs, "sweep", console=notices))
    console.print(render(report))
    for line in findings(report):
        console.print(line)
    console.print(f"wrote {', '.join(sorted(path.name for path in out.iterdir()))} to {out}")


def _suite(name: str, data: str | None, label: str | None) -> Labelled:
    if name not in _SUITES:
        raise SettingsError(
            f"unknown --suite {name}; suites are {', '.join(_SUITES)}, which takes any labelled shards with --data and --label"
        )
    from geolangbind.evaluate.suite import Labelled

    folder, truth = _SUITES[name]
    return Labelled(name, data or folder, label or truth)


def soup(
    models: Annotated[list[str], typer.Argument(help="Two or more model or run folders, trained from one start.", metavar="MODEL...")],
    out: Annotated[Path, typer.Option(help="Model folder to write.")],
    suite: SuiteName = "planet",
    data: Data = None,
    label: Label = None,
    uniform: Annotated[bool, typer.Option("--uniform", help="Average all of them, without looking at scores first.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a merged model at --out.")] = False,
) -> None:
    """Average models that make each other better on a validation set (greedy soup, arXiv 2203.05482), or all of them.

    Example: geolangbind soup runs/a runs/b runs/c --data runs/demo/planet-tune --out runs/soup
    """
    from rich.progress import Progress

    from geolangbind.sweep.soup import SoupRequest, make_soup, render

    request = SoupRequest(tuple(models), _suite(suite, data, label), out, uniform, overwrite, shlex.join(["geolangbind", *sys.argv[1:]]))
    with Progress(console=notices, transient=True) as progress:
        task = progress.add_task("soup", total=1 if uniform else 2 * len(set(models)) - 1)
        made = make_soup(request, lambda: progress.advance(task))
    console.print(render(made))
    console.print(f"wrote {out}: the average of {len(made.chosen)} of {len(models)} models")
