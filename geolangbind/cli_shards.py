"""`geolangbind shards ...`: bring data into shards, check them, describe them, add teacher features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from geolangbind.data.faults import OnError
from geolangbind.errors import SettingsError

console = Console(highlight=False)
notices = Console(stderr=True, highlight=False, soft_wrap=True)
shards = typer.Typer(help="WebDataset shards: build, import, check and describe them, add teacher features.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the main program."""
    app.add_typer(shards, name="shards")


@shards.command("verify")
def shards_verify(
    folder: Annotated[str, typer.Argument(help="Folder with an index.json, a path or https://, s3://.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, for programs.")] = False,
) -> None:
    """Check hashes, counts, offsets and every sample. Exit code 0 when whole, 1 when something is wrong, 2 without an index."""
    from rich.progress import track

    from geolangbind.data.remote import is_remote
    from geolangbind.data.verify import render_report, verify

    if not is_remote(folder) and not Path(folder, "index.json").is_file():
        raise SettingsError(f"{folder}: no index.json there; give a folder of shards")
    report = verify(folder, progress=lambda shards: track(shards, "verifying", console=notices))
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=1))
    else:
        console.print(render_report(report))
    raise typer.Exit(0 if report.ok else 1)


@shards.command("build")
def shards_build(
    card: Annotated[str, typer.Argument(help="A card: datasets/eurosat, eurosat, or a card.yaml of yours.")],
    root: Annotated[Path, typer.Option(help="Folder that holds the source's files.")],
    out: Annotated[Path, typer.Option(help="Folder of shards to write, or to go on with.")],
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
    view: Annotated[list[str] | None, typer.Option(help="Only this view of the card (rgb, msi, ...). Repeatable.")] = None,
    split: Annotated[str | None, typer.Option(help="Only this split; by default all samples, each saying its split.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many samples of each view, spread evenly: for a first look.")] = None,
    captions: Annotated[Path | None, typer.Option(help="JSON lines {key, caption} or {key, captions} made elsewhere.")] = None,
    sensor: Annotated[str | None, typer.Option(help="In place of the card's, as all options below.")] = None,
    bands: Annotated[str | None, typer.Option(help="B04,B03,...: a selection, or the order of unnamed channels.")] = None,
    unit: Annotated[str | None, typer.Option(help="Unit after scale and offset.")] = None,
    scale: Annotated[float | None, typer.Option(help="unit = stored x scale + offset.")] = None,
    offset: Annotated[float | None, typer.Option(help="See --scale.")] = None,
    nodata: Annotated[float | None, typer.Option(help="Stored number that means no data.")] = None,
    gsd: Annotated[float | None, typer.Option(help="Metres per pixel, for files that do not say.")] = None,
    records_per_shard: Annotated[int, typer.Option(help="Samples read for one shard; a shard is closed at 512 MiB.")] = 1000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace shards of another source in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, for programs.")] = False,
) -> None:
    """Turn a public dataset, or a folder of yours with a card, into shards. Goes on where it was interrupted.

    Exit code 0 when whole, 1 when samples were skipped or nothing could be used, 2 for unusable arguments.

    Example: geolangbind shards build datasets/eurosat --root /data/EuroSAT --out shards/eurosat --workers 4
    """
    from geolangbind.sensors import Unit
    from geolangbind.sources.build import Options, build
    from geolangbind.sources.card import load_card
    from geolangbind.sources.show import BuildProgress, render_report

    said = {
        "sensor": sensor, "bands": tuple(bands.split(",")) if bands else None, "unit": Unit.parse(unit) if unit else None, "scale": scale,
        "offset": offset, "nodata": nodata, "gsd_m": gsd,
    }  # fmt: skip
    options = Options(tuple(view or ()), split, limit, captions, said, records_per_shard, workers, overwrite)
    with BuildProgress(notices) as progress:
        report = build(load_card(card), root, out, options, progress.begin)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=1))
    else:
        for part in render_report(report):
            console.print(part)
    raise typer.Exit(0 if report.ok else 1)


@shards.command("stats")
def shards_stats(folder: Annotated[str, typer.Argument(help="Folder with an index.json, a path or https://, s3://.")]) -> None:
    """Counts, shapes and per-band statistics in canonical units, per stream."""
    from rich.progress import track

    from geolangbind.data.stats import render_bands, render_stats, stats

    rows = stats(folder, progress=lambda streams: track(streams, "reading"))
    console.print(render_stats(rows))
    for row in rows:
        console.print(render_bands(row))


@shards.command("add-features")
def shards_add_features(
    folder: Annotated[Path, typer.Argument(help="Folder with an index.json.")],
    teacher: Annotated[
        list[str], typer.Option(help="NAME=SOURCE: timm:NAME, timm:NAME@FILE, a teacher folder or a model folder. Repeatable.")
    ],
) -> None:
    """Compute teacher features once and keep them beside the shards; continues where it was interrupted.

    Example: geolangbind shards add-features runs/demo/planet --teacher dinov2=timm:vit_large_patch14_reg4_dinov2.lvd142m
    """
    from rich.progress import track

    from geolangbind.features import add_features

    sources = dict(entry.split("=", 1) for entry in teacher if "=" in entry)
    if len(sources) != len(teacher):
        raise SettingsError("--teacher takes NAME=SOURCE, e.g. --teacher scene=runs/demo/teachers/scene, each name once")
    written = add_features(folder, sources, progress=lambda shards: track(shards, "features", total=len(shards)))
    console.print(f"computed features for {written} shard-teacher pairs in {folder}")


@shards.command("import-published")
def shards_import_published(
    source: Annotated[Path, typer.Argument(help="Folder of one subset of the published GeoLangBind-2M, e.g. ROOT/Seg4.")],
    out: Annotated[Path, typer.Option(help="Folder of shards to write.")],
    gsd: Annotated[float, typer.Option(help="Metres per pixel; the published samples do not say.")],
    sensor: Annotated[str | None, typer.Option(help="Where the subset is not known; `geolangbind sensors` lists them.")] = None,
    bands: Annotated[str | None, typer.Option(help="B04,B03,...: the order of the channels.")] = None,
    unit: Annotated[str | None, typer.Option(help="Unit after scale and offset; known for pictures only.")] = None,
    scale: Annotated[float | None, typer.Option(help="unit = stored x scale + offset.")] = None,
    offset: Annotated[float | None, typer.Option(help="See --scale.")] = None,
    existing: Annotated[
        Literal["refuse", "append", "overwrite"], typer.Option(help="What to do with shards that are in --out.")
    ] = "refuse",
    on_error: Annotated[OnError, typer.Option(help="skip: leave a bad sample out and report it; raise: stop.")] = "skip",
    max_skipped: Annotated[int, typer.Option(help="Most findings before the import stops after all.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, for programs.")] = False,
) -> None:
    """Convert a published subset to indexed shards; nothing in it is run.

    Exit code 0 when whole, 1 when something was skipped or wrong, 2 for unusable arguments.

    Example: geolangbind shards import-published geolb/Seg4 --out shards/seg4 --gsd 0.5
    """
    from rich.progress import track

    from geolangbind.data.faults import Faults
    from geolangbind.data.published import Meaning, import_published

    meaning = Meaning(gsd, sensor, tuple(bands.split(",")) if bands else (), unit, scale, offset)
    faults = Faults(on_error, max_skipped)
    report = import_published(
        source, out, meaning, faults, existing=existing, progress=lambda tars: track(tars, "importing", console=notices)
    )
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=1))
    else:
        for problem in report.problems:
            console.print(str(problem), style="red", markup=False)
        console.print(f"wrote {report.samples} samples of {source.name} to {out}; {len(report.problems)} findings")
    raise typer.Exit(0 if report.ok else 1)
