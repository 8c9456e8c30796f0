"""`geolangbind pairs ...`: instruction rows from shards and from MMEB files, and a look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console(highlight=False)
notices = Console(stderr=True, highlight=False, soft_wrap=True)
_REASONS = 5
pairs = typer.Typer(help="Pairs folders for task=interleaved: build them from shards, look at them, exchange them.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the main program."""
    app.add_typer(pairs, name="pairs")


@pairs.command("build")
def pairs_build(
    shards: Annotated[list[str], typer.Argument(help="Folders with an index.json, paths or https://, s3://.")],
    out: Annotated[Path, typer.Option(help="Folder to write; it must not hold pairs yet.")],
    kinds: Annotated[
        str, typer.Option(help="Comma-separated, of labels, captions, boxes, questions, places, edits, dates, sensors; by default all.")
    ] = "labels,captions,boxes,questions,places,edits,dates,sensors",
    split: Annotated[str | None, typer.Option(help="Only samples of this split, and those that say none.")] = None,
) -> None:
    """Make instruction rows from what samples say of themselves: labels, captions, boxes, places, dates. The same shards, the same rows.

    Example: geolangbind pairs build runs/planet --out runs/pairs --kinds labels,captions,places
    """
    from geolangbind.instruct.build import build_pairs
    from geolangbind.instruct.corpus import SAME_PLACE
    from geolangbind.instruct.show import render_sources

    built, empty = build_pairs(shards, out, [kind.strip() for kind in kinds.split(",")], split)
    console.print(render_sources(built))
    if empty:
        notices.print(f"nothing in the shards to make these from: {', '.join(empty)}")
    if not {"dates", "sensors"}.isdisjoint(empty):
        notices.print(SAME_PLACE)
    console.print(f"next: geolangbind pairs show {out}", soft_wrap=True)


@pairs.command("show")
def pairs_show(
    folder: Annotated[Path, typer.Argument(help="Folder with a pairs.json.")],
    examples: Annotated[int, typer.Option(help="Rows of each source to show.", min=0)] = 3,
    verify: Annotated[bool, typer.Option("--verify", help="First check hashes, every row, and that every image exists.")] = False,
) -> None:
    """List the sources of a pairs folder, with some rows of each in plain words.

    Example: geolangbind pairs show runs/pairs --examples 1
    """
    from geolangbind.instruct.rows import Pairs
    from geolangbind.instruct.show import render_examples, render_sources

    opened = Pairs.open(folder)
    if verify:
        opened.verify()
    console.print(render_sources(opened))
    for line in render_examples(opened, examples):
        console.print(line, soft_wrap=True)


@pairs.command("import-mmeb")
def pairs_import_mmeb(
    file: Annotated[Path, typer.Argument(help="Rows of MMEB or VLM2Vec: .jsonl or .parquet.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    images: Annotated[Path | None, typer.Option(help="Where the rows' paths begin; by default the file's folder.")] = None,
    sensor: Annotated[str | None, typer.Option(help="Of all images; `geolangbind sensors` lists them.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the source; by default the file's.")] = None,
) -> None:
    """Turn rows of MMEB into a pairs folder: rows to train on, or with their candidates to rank.

    Example: geolangbind pairs import-mmeb MSCOCO_i2t.parquet --out runs/mscoco --images MMEB-train/images
    """
    from geolangbind.instruct.mmeb_files import import_mmeb
    from geolangbind.instruct.show import render_sources

    console.print(render_sources(import_mmeb(file, out, images, sensor, name)))


@pairs.command("export-mmeb")
def pairs_export_mmeb(
    folder: Annotated[Path, typer.Argument(help="Folder with a pairs.json.")],
    out: Annotated[Path, typer.Option(help="File to write: .jsonl or .parquet; pictures from shards go into images/ beside it.")],
    source: Annotated[str | None, typer.Option(help="Which; may be left out if there is one only.")] = None,
) -> None:
    """Write a source as rows of MMEB. Boxes, places and days become text; rows of several images do not fit and are left out, and told.

    Example: geolangbind pairs export-mmeb runs/pairs --source boxes --out runs/mmeb/boxes.jsonl
    """
    from geolangbind.instruct.mmeb_files import export_mmeb
    from geolangbind.instruct.rows import Pairs

    done = export_mmeb(Pairs.open(folder), out, source)
    console.print(f"wrote {done.rows} rows to {out}")
    for reason, count in list(done.left_out.items())[:_REASONS]:
        notices.print(f"left out {count}: {reason}", markup=False)
    if len(done.left_out) > _REASONS:
        notices.print(f"left out {sum(done.left_out.values())} rows in all, for {len(done.left_out)} reasons")
    if done.shortened:
        notices.print(f"{done.shortened} rows lost negatives or right answers beyond the first, of which the format holds one")
