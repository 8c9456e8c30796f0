"""`geolangbind`: verbs on files. Heavy imports happen inside the commands that need them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from geolangbind import cli_datasets, cli_evaluate, cli_merge, cli_pairs, cli_shards, cli_weights, commands
from geolangbind.crashtest import cli as cli_crashtest
from geolangbind.demo_interleaved import cli as cli_interleaved
from geolangbind.errors import GeoLangBindError

if TYPE_CHECKING:
    from geolangbind.evaluate.classify import Guess

app = typer.Typer(
    name="geolangbind",
    help="One embedding model out of many Earth-observation sensors: draw or write shards, train, merge, classify.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
sensors_app = typer.Typer(help="The sensors geolangbind knows, with bands, wavelengths and units.", no_args_is_help=False)
app.add_typer(sensors_app, name="sensors")
cli_datasets.register(app)
cli_evaluate.register(app)
cli_shards.register(app)
cli_pairs.register(app)
cli_weights.register(app)
cli_merge.register(app)
cli_crashtest.register(app)
cli_interleaved.register(app)
console = Console(highlight=False)
warnings_console = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> None:
    """Entry point of `geolangbind`: failures a user can cause are one line on stderr and an exit code."""
    passed = {"train": commands.train, "evaluate": commands.evaluate}
    if len(sys.argv) > 1 and sys.argv[1] in passed:
        command = sys.argv.pop(1)
        sys.argv[0] = f"geolangbind-{command}"
        passed[command]()
        return
    try:
        app()
    except GeoLangBindError as error:
        from geolangbind.hydra_entry import fail

        fail(error)


@app.command("train", help="Train; the same as [bold]geolangbind-train[/] (Hydra, key=value).")
@app.command("evaluate", help="Evaluate; the same as [bold]geolangbind-evaluate[/] (Hydra, key=value).")
def _passed() -> None:
    """Listed in --help; `main` passes these on before Typer sees them."""


@sensors_app.callback(invoke_without_command=True)
def sensors(context: typer.Context) -> None:
    """List the sensors; `geolangbind sensors show NAME` prints one with its bands."""
    if context.invoked_subcommand is None:
        from geolangbind.sensors.show import render_sensors

        console.print(render_sensors())


@sensors_app.command("show")
def sensors_show(name: Annotated[str, typer.Argument(help="Name, alias, or a YAML file of your own.")]) -> None:
    """Print one sensor: bands, wavelengths, widths, units, sources."""
    from geolangbind.sensors import get_sensor
    from geolangbind.sensors.show import render_sensor

    console.print(render_sensor(get_sensor(name)))


@app.command()
def planet(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    count: Annotated[int, typer.Option(help="Scenes; each gives one chip per modality.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the planet.")] = 0,
    split: Annotated[str, typer.Option(help="train, validation or test; splits share no scene.")] = "train",
    modalities: Annotated[str, typer.Option(help="Comma-separated, of rgb, sar, msi, hsi, ir, dem.")] = "rgb,sar,msi,hsi,ir,dem",
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
    preview: Annotated[bool, typer.Option("--preview", help="Draw one contact sheet PNG per modality instead of shards.")] = False,
) -> None:
    """Draw the synthetic planet: shards in six modalities with captions, labels and land-cover masks.

    Example: geolangbind planet --out runs/planet --count 2000
    """
    if preview:
        from geolangbind.planet.preview import preview as draw

        for path in draw(out, min(count, 48), seed):
            console.print(f"wrote {path}")
        return
    from geolangbind.planet.write import write_planet

    index = write_planet(out, count, seed, modalities.split(","), workers, split=split)
    console.print(f"wrote {sum(len(shard.keys) for shard in index.shards)} samples in {len(index.shards)} shards to {out}")


@app.command()
def classify(
    path: Annotated[Path, typer.Argument(help="A GeoTIFF, JPEG or PNG, a folder of single-band GeoTIFFs, or a folder of images.")],
    labels: Annotated[
        str, typer.Option(help='"forest, harbour, solar farm"; "Name=words|other words, ..."; or a card.yaml with `classes`.')
    ],
    model: Annotated[str, typer.Option(help="Model or run folder, hf-hub:owner/name, or the built-in planet-tiny.")] = "planet-tiny",
    truth: Annotated[str | None, typer.Option(help="`folder` (folder names are the classes) or a CSV with columns file, class.")] = None,
    sensor: Annotated[str | None, typer.Option(help="What the file does not say; `geolangbind sensors` lists them.")] = None,
    bands: Annotated[str | None, typer.Option(help="B01,B02,...: a selection, or the order of unnamed channels.")] = None,
    unit: Annotated[str | None, typer.Option(help="Unit after scale and offset, e.g. reflectance, sigma0_db, elevation_m.")] = None,
    scale: Annotated[float | None, typer.Option(help="unit = stored x scale + offset.")] = None,
    offset: Annotated[float | None, typer.Option(help="See --scale.")] = None,
    nodata: Annotated[float | None, typer.Option(help="Stored number that means no data.")] = None,
    window: Annotated[
        int | None, typer.Option(help="Side of a window in pixels; by default as much ground as the model saw in training.")
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Also write every guess with all scores to this file.")] = None,
) -> None:
    """Zero-shot classification of rasters by words.

    Example: geolangbind classify scene.tif --labels "forest, river, residential area" --sensor sentinel-2-l2a --offset 0
    """
    from geolangbind.evaluate import classify as steps

    options = {
        "sensor": sensor, "bands": bands.split(",") if bands else None, "unit": unit, "scale": scale, "offset": offset, "nodata": nodata,
    }  # fmt: skip
    classes = steps.parse_labels(labels)
    guesses = _classify(steps, path, classes, model, truth, options, window)
    from geolangbind.evaluate.show import render_guesses, summary, write_json

    if json_out:
        write_json(json_out, model, guesses, list(classes))
    console.print(render_guesses(guesses, list(classes)))
    for line in summary(guesses):
        console.print(line)


def _classify(
    steps: Any,  # noqa: ANN401 - the module, imported late
    path: Path,
    classes: dict[str, tuple[str, ...]],
    model_path: str,
    truth: str | None,
    options: dict[str, Any],
    window: int | None,
) -> list[Guess]:
    from dataclasses import replace

    from rich.progress import track

    from geolangbind.weights.load import load

    paths = steps.find_images(path, options)
    wanted = steps.read_truth(truth, paths, classes) if truth else [None] * len(paths)
    model = load(model_path)
    if unknown := model.unknown_words([phrase for phrases in classes.values() for phrase in phrases]):
        told = f"the text tower was trained from scratch and never saw {', '.join(unknown)}; labels with such words are guesses"
        warnings_console.print(f"[yellow]warning:[/] {told}")
    found: list[Guess] = []
    for image, true_class in zip(track(paths, "classifying", console=warnings_console, disable=len(paths) < 20), wanted, strict=True):
        found += [replace(guess, truth=true_class) for guess in steps.classify(model, image, classes, options, window_px=window)]
    return found


@app.command()
def demo(
    profile: Annotated[
        str, typer.Option(help="quick (11 to 13 minutes), full (90 minutes, makes docs/results.md), smoke (seconds).")
    ] = "quick",
    out: Annotated[Path | None, typer.Option(help="Folder; by default runs/demo, or runs/demo-PROFILE for other profiles.")] = None,
    seed: Annotated[int, typer.Option(help="Of the planet, weights and data order.")] = 0,
    threads: Annotated[int, typer.Option(help="Torch threads.")] = 2,
) -> None:
    """The main job end to end on the synthetic planet: shards, base, teachers, two branches, merge, zero-shot, report. Resumable."""
    from geolangbind.demo.run import run_demo

    run_demo(profile, out or Path("runs/demo" if profile == "quick" else f"runs/demo-{profile}"), seed, threads)


@app.command()
def study(
    out: Annotated[Path, typer.Option(help="Folder.")] = Path("runs/study"),
    seeds: Annotated[int, typer.Option(help="Seeds of data order and augmentation, 1 to 5.")] = 2,
    jobs: Annotated[int, typer.Option(help="Processes, one thread each.")] = 2,
    into: Annotated[Path | None, typer.Option(help="Markdown file to put the tables into, between its study markers.")] = None,
) -> None:
    """Compare on the synthetic planet: merging, joint and sequential training, the cross-sensor term, MaKA, virtual sensors. Resumable."""
    from geolangbind.study import report
    from geolangbind.study.arms import ARMS
    from geolangbind.study.run import run_study

    console.print(f"report: {run_study(out, seeds, jobs)}")
    if into is not None:
        report.insert(out, into, seeds, ARMS)
