"""Commands about weights: zoo, import, export, push."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from geolangbind.errors import SettingsError

console = Console(highlight=False)
notices = Console(stderr=True, highlight=False, soft_wrap=True)
_TARGETS = ("official", "timm", "onnx", "torch-export")
Model = Annotated[str, typer.Argument(help="Model or run folder, weights file, or hf-hub:owner/name.", metavar="MODEL")]


def register(app: typer.Typer) -> None:
    """Add these commands to the main program."""
    app.command("zoo")(zoo)
    app.command("import")(import_model)
    app.command("export")(export)
    app.command("card")(card)
    app.command("push")(push)


def zoo() -> None:
    """List the named sizes: parameters, input size, operations, and the released weights to start from."""
    from geolangbind.weights.show import render_zoo

    with console.status("counting"):
        table = render_zoo()
    console.print(table)


def import_model(
    source: Model,
    out: Annotated[Path, typer.Option(help="Model folder to write.")],
    text: Annotated[str | None, typer.Option(help="Where the text tower comes from, for image towers that stand alone.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Load what fits; missing tensors stay at random.")] = False,
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16, for the stored weights.")] = "float32",
    heads: Annotated[bool, typer.Option(help="Keep MaKA projectors, which only training needs.")] = True,
) -> None:
    """Turn a checkpoint of another layout into a model folder: GeoLangBind / DOFA-CLIP, SigLIP, SigLIP 2 (open_clip, timm), DOFA.

    Example: geolangbind import hf-hub:timm/ViT-B-16-SigLIP --out runs/siglip
    """
    import torch

    from geolangbind.weights.load import load

    dtypes = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if dtype not in dtypes:
        raise SettingsError(f"unknown --dtype {dtype}; dtypes are {', '.join(dtypes)}")
    with _told(f"loading {source}"):
        model = load(source, text=text, strict=not force)
    with console.status(f"writing {out}"):
        model.save(out, dtype=dtypes[dtype], heads=heads)
    for line in model.provenance.get("assumed", []):
        notices.print(f"[yellow]assumed:[/] {line}")
    if missing := model.provenance.get("tokenizer_missing"):
        notices.print(f"[yellow]no tokenizer, so no text:[/] {missing}")
    console.print(f"wrote {out} ({model.provenance.get('layout', 'native')}); next: geolangbind-train model={out} sensor_group=rgb")


def export(
    model: Model,
    to: Annotated[str, typer.Option(help="One of official, timm, onnx, torch-export.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    sensor: Annotated[str | None, typer.Option(help="Sensor whose bands are frozen in; `geolangbind sensors` lists them.")] = None,
    bands: Annotated[str | None, typer.Option(help="Bands in the image's order, comma-separated; all of the sensor by default.")] = None,
    unit: Annotated[str | None, typer.Option(help="Unit of the input; by default the sensor's own in canonical form.")] = None,
    wavelengths_um: Annotated[
        str | None, typer.Option(help="Instead of a sensor: wavelengths in µm, comma-separated, for input that is normalised already.")
    ] = None,
    text: Annotated[bool, typer.Option(help="Export the text tower too (onnx, torch-export).")] = True,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16 (official); by default as imported.")] = None,
) -> None:
    """Write a model for other programs. All but `official` freeze the generated kernels for one channel set into a plain convolution.

    Example: geolangbind export runs/demo/merged --to onnx --sensor sentinel-2-l2a --bands B02,B03,B04,B08 --out exported
    """
    if to not in _TARGETS:
        raise SettingsError(f"unknown target --to {to}; targets are {', '.join(_TARGETS)}")
    if to == "official" and (sensor or bands or wavelengths_um):
        raise SettingsError("the official layout keeps the kernel generator: leave out --sensor, --bands and --wavelengths-um")
    if to != "official" and dtype:
        raise SettingsError("--dtype is for --to official; the others are float32")
    if (sensor is None) == (wavelengths_um is None) and to != "official":
        raise SettingsError("say which channels are frozen in: --sensor (with --bands), or --wavelengths-um")
    from geolangbind.weights.load import load

    with _told(f"loading {model}"):
        loaded = load(model)
    with _told(f"exporting to {to}, then comparing with the model"):
        if to == "official":
            from geolangbind.weights.official import export_official

            export_official(loaded, out, dtype=dtype)
        else:
            from geolangbind.weights.frozen import image_input

            image = image_input(
                loaded, sensor=sensor, bands=bands.split(",") if bands else None, unit=unit, wavelengths_um=_numbers(wavelengths_um)
            )
            if to == "timm":
                from geolangbind.weights.to_timm import export_timm

                export_timm(loaded, out, image)
            else:
                from geolangbind.weights.export import export_onnx, export_torch

                (export_onnx if to == "onnx" else export_torch)(loaded, out, image, text=text)
    console.print(f"wrote {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")


def card(
    folder: Annotated[Path, typer.Argument(help="Model folder.")],
    results: Annotated[Path | None, typer.Option(help="results.jsonl; rows of these very weights go into the card.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the model.")] = None,
) -> None:
    """Write the card (README.md) of a model folder anew, with results.

    Example: geolangbind card runs/demo/merged --results runs/demo/results.jsonl --licence apache-2.0
    """
    from geolangbind.checkpoint import CARD, atomic_path
    from geolangbind.weights.bundled import bundled_folder
    from geolangbind.weights.push import prepare

    source = folder.name if bundled_folder(folder.name) == folder.resolve() else str(folder)
    upload = prepare(folder, source, results=results, licence=licence)
    with atomic_path(upload.folder / CARD) as part:
        part.write_text(upload.card, encoding="utf-8")
    for note in upload.notes:
        notices.print(f"[yellow]note:[/] {note}")
    console.print(f"wrote {upload.folder / CARD}")


def push(
    folder: Annotated[Path, typer.Argument(help="Model folder.")],
    repo: Annotated[str, typer.Argument(help="owner/name on the hub.")],
    results: Annotated[Path | None, typer.Option(help="results.jsonl of this model, for the card.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the model; by default what its parents' licences allow to say.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    message: Annotated[str | None, typer.Option(help="Commit message.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the card and the files; send nothing.")] = False,
) -> None:
    """Upload a model folder with a card: bands by unit and wavelength, licences of its parents, results.

    Example: geolangbind push runs/demo/merged me/geolangbind-demo --results runs/demo/results.jsonl --dry-run
    """
    from geolangbind.weights.push import push as send

    with _told():
        told = send(folder, repo, private=private, results=results, licence=licence, message=message, dry_run=dry_run)
    console.print(told)


def _numbers(text: str | None) -> tuple[float, ...] | None:
    try:
        return tuple(float(part) for part in text.split(",")) if text else None
    except ValueError:
        raise SettingsError(f"--wavelengths-um takes numbers in µm, comma-separated, e.g. 0.665,0.560,0.490; got '{text}'") from None


@contextmanager
def _told(status: str | None = None) -> Iterator[None]:
    """Show a spinner, and warnings as single lines instead of Python's."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        if status:
            with notices.status(status):
                yield
        else:
            yield
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            notices.print(f"[yellow]warning:[/] {warning.message}")
