"""`geolangbind crashtest`: models and stacks in, a scorecard out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from geolangbind.errors import GeoLangBindError, SettingsError

if TYPE_CHECKING:
    from rich.progress import Progress

    from geolangbind.crashtest.run import CrashTest
    from geolangbind.crashtest.stacks import StackSet
    from geolangbind.evaluate.embedder import Embedder

console = Console(highlight=False)
warnings_console = Console(stderr=True, highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command to `geolangbind`."""
    app.command()(crashtest)


def crashtest(
    model: Annotated[
        list[str],
        typer.Option(
            help="Model or run folder, hf-hub:owner/name, planet-tiny; or a peer: open_clip:NAME[:WEIGHTS], torchgeo:dofa_base[:FILE], "
            "torchgeo:resnet18_s2[:FILE]. Without weights a peer is random, a control. Repeat to compare."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the pages and crashtest.json.")] = Path("runs/crashtest"),
    real: Annotated[
        Path | None, typer.Option(help="Also test on real co-registered stacks: a folder that holds coreg_s1_s2_bigearthnet, ...")
    ] = None,
    places: Annotated[int, typer.Option(help="Scenes of the synthetic planet, at least 2.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the planet and of the bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print crashtest.json instead of the table.")] = False,
) -> None:
    """Is the same place the same vector, through any sensor? No labels needed.

    Each model looks at the same places through 13 sensors of the synthetic planet (and at real stacks with --real): in other units, with
    bands permuted, renamed and dropped, VV and VH swapped, at other resolutions, under haze and holes, at another date. Each score is a bar
    from chance to ideal; a sensor that a model cannot see is a row that says so.

    Example: geolangbind crashtest --model planet-tiny --model torchgeo:dofa_base --out runs/crashtest
    """
    from geolangbind.crashtest.page import to_json, write_pages

    if len(set(model)) < len(model):
        raise SettingsError("--model names the same model twice")
    opened, failed = _open(model)
    tests = _run(opened, real, places, seed)
    notes = {name: str(getattr(embedder, "assumed", "")) for name, embedder in opened.items()}
    index = write_pages(tests, failed, out, notes)
    if as_json:
        typer.echo(json.dumps(to_json(tests, failed, notes), indent=1, ensure_ascii=False))
        return
    for found in tests.values():
        for test in found:
            _show(test)
    console.print(f"pages: {index}")


def _open(sources: list[str]) -> tuple[dict[str, Embedder], dict[str, str]]:
    """Open what can be opened; the failure of the only model, or of all, is the command's."""
    from geolangbind.crashtest.peers import open_embedder

    opened: dict[str, Embedder] = {}
    failed: dict[str, str] = {}
    for source in sources:
        try:
            embedder = open_embedder(source)
        except GeoLangBindError as error:
            if len(sources) == len(failed) + 1:
                raise
            failed[source] = str(error)
            warnings_console.print(f"[yellow]warning:[/] {escape(source)} is left out: {escape(str(error))}")
        else:
            opened[embedder.name] = embedder
    return opened, failed


def _run(opened: dict[str, Embedder], real: Path | None, places: int, seed: int) -> dict[str, list[CrashTest]]:
    from functools import partial

    from rich.progress import Progress

    from geolangbind.crashtest.run import crash_test, steps

    with Progress(console=warnings_console) as bar:
        sets = _stacks(bar, real, places, seed)
        tests: dict[str, list[CrashTest]] = {}
        for name, embedder in opened.items():
            task = bar.add_task(escape(name), total=sum(steps(stacks) for stacks in sets))
            tests[name] = [crash_test(embedder, stacks, seed, tick=partial(bar.advance, task)) for stacks in sets]
    return tests


def _stacks(bar: Progress, real: Path | None, places: int, seed: int) -> list[StackSet]:
    from geolangbind.crashtest.planet import planet_stacks
    from geolangbind.crashtest.real import real_stacks

    task = bar.add_task("drawing the planet", total=places)
    sets = [planet_stacks(places, seed, tick=lambda: bar.advance(task))]
    return sets if real is None else [*sets, *real_stacks(real)]


def _show(test: CrashTest) -> None:
    from rich.table import Table
    from rich.text import Text

    from geolangbind.crashtest.page import level, reached, scores

    kind = "synthetic" if test.stacks.synthetic else "real"
    title = f"{escape(test.model)} on {test.stacks.name} ({kind}, {len(test.stacks.places)} places)"
    told = "drift: 0 ideal, 1 as far as another place; the pages say what each score means"
    table = Table("score", "chance to ideal", "value", "95 %", title=title, caption=told, title_justify="left", caption_justify="left")
    for measure in scores(test):
        share = reached(measure)
        _, colour, sign = level(share)
        ends = "" if measure.low is None else f"{measure.low:.2f} to {measure.high:.2f}"
        bar = Text(f"{sign} {'█' * round(15 * share)}{'░' * (15 - round(15 * share))}", style=colour)
        table.add_row(measure.details["title"], bar, f"{measure.value:.2f}", ends)
    console.print(table)
    for name, why in test.refused.items():
        console.print(f"cannot see {name}: {why}", style="dim", markup=False)
