"""Zero-shot classification of a user's rasters: one file, one scene folder, or a folder of images."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor

from geolangbind.data.envi import data_of, is_header
from geolangbind.data.raster_reader import Raster, RasterReader
from geolangbind.data.rasters import PixelWindow, open_raster
from geolangbind.data.resize import WHOLE, average_to, shrunk_size
from geolangbind.data.stac import ITEM_SUFFIXES, is_item, locate, read_item
from geolangbind.errors import DataError, GeoLangBindError, SettingsError, UnitError
from geolangbind.evaluate.zero_shot import class_vectors
from geolangbind.model import GeoLangBind
from geolangbind.sensors import modality_of

_SUFFIXES = (".tif", ".tiff", ".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Guess:
    """What one image, or one window of it, was taken for.

    Attributes:
        path: file or scene folder.
        window: column, row, width, height in pixels; None for the whole image.
        label: the best class.
        scores: probability per class, in the order of the labels; they sum to one.
        truth: the class it should be, if known.
        notes: how bands, units and normalisation were decided.
    """

    path: Path
    window: PixelWindow | None
    label: str
    scores: tuple[float, ...]
    truth: str | None
    notes: tuple[str, ...]


def parse_labels(text: str) -> dict[str, tuple[str, ...]]:
    """Classes from the command line.

    Args:
        text: `"forest, harbour, solar farm"`; or `"SeaLake=sea or lake|lake, ..."` for class names with the words to use; or a YAML
            file (a dataset card) with a mapping `classes: {name: [phrases]}`.

    Raises:
        SettingsError: fewer than two classes, or an unusable file.
    """
    if text.endswith((".yaml", ".yml")):
        return _card_classes(Path(text))
    classes: dict[str, tuple[str, ...]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, words = entry.partition("=")
        classes[name.strip()] = tuple(filter(None, (phrase.strip() for phrase in words.split("|")))) or (name.strip(),)
    if len(classes) < 2 or "" in classes:
        raise SettingsError('give at least two labels, each with a name, e.g. --labels "forest, harbour, SeaLake=sea or lake"')
    return classes


def _card_classes(path: Path) -> dict[str, tuple[str, ...]]:
    import yaml

    try:
        classes = yaml.safe_load(path.read_text(encoding="utf-8"))["classes"]
        return {str(name): (phrases,) if isinstance(phrases, str) else tuple(map(str, phrases)) for name, phrases in classes.items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"--labels {path}: not a card with a mapping `classes: {{name: [phrases]}}` ({error!r})") from None


def find_images(path: Path, options: Mapping[str, Any]) -> list[Path]:
    """The images that a path stands for: itself, or everything readable below a folder.

    A folder whose files each hold one band of one scene is one image, and so is a STAC item with its rasters.

    Args:
        path: file or folder.
        options: what the files do not say, see `data.rasters.open_raster`.

    Raises:
        DataError: nothing is there.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder")
    below = [path, *path.rglob("*")]
    items = [file for file in below if file.suffix.lower() in ITEM_SUFFIXES and is_item(file)]
    described = {*map(Path.resolve, items), *(file.parent.resolve() for file in items)}.union(*map(_rasters_of, items))
    scenes = {folder for folder in below if folder.is_dir() and folder.resolve() not in described and _is_scene(folder, options)}
    if path in scenes:
        return [path]
    files = [file for file in below if file.suffix.lower() in _SUFFIXES]
    files += [_envi_image(file) for file in below if file.suffix.lower() == ".hdr" and is_header(file)]
    alone = [file for file in files if file.resolve() not in described and not scenes & {*file.parents}]
    if not (found := sorted([*alone, *items, *scenes])):
        raise DataError(f"{path}: no image below it; readable are {', '.join(_SUFFIXES)}, ENVI files with their .hdr and STAC items")
    return found


def _rasters_of(item_path: Path) -> set[Path]:
    """The files that a STAC item describes; none if the item is damaged, which opening it then tells."""
    try:
        item = read_item(item_path)
    except GeoLangBindError:
        return set()
    return {file.resolve() for asset in item.assets if (file := locate(item, asset)) is not None}


def _envi_image(header: Path) -> Path:
    try:
        return data_of(header)
    except DataError:
        return header  # opening it tells what is missing


def _is_scene(folder: Path, options: Mapping[str, Any]) -> bool:
    """Whether the folder's files are the bands of one scene. What unit they are in is asked later."""
    if not any(file.suffix.lower() in (".tif", ".tiff") for file in folder.iterdir()):
        return False
    try:
        open_raster(folder, **options)
    except UnitError:
        return True
    except GeoLangBindError:
        return False
    return True


def read_truth(how: str, paths: Sequence[Path], classes: Mapping[str, object]) -> list[str]:
    """The true class of each image.

    Args:
        how: "folder" (the name of the image's folder), or a CSV file with columns `file` (path or its end) and `class`.
        paths: the images.
        classes: known classes; names are compared without case, spaces and underscores.

    Raises:
        DataError: an image has no class or one that is not among the labels.
    """
    if how == "folder":
        told = [path.parent.name for path in paths]
    else:
        rows = _truth_rows(Path(how))
        told = [next((name for end, name in rows if path.parts[-len(end.parts) :] == end.parts), "") for path in paths]
    known = {_plain(name): name for name in classes}
    if wrong := [(path, name) for path, name in zip(paths, told, strict=True) if _plain(name) not in known]:
        path, name = wrong[0]
        raise DataError(
            f"{len(wrong)} images have no class among the labels, first {path}: '{name}'. Labels are {', '.join(classes)}; "
            'name them as the truth does, with words behind: --labels "SeaLake=sea or lake, ..."'
        )
    return [known[_plain(name)] for name in told]


def _truth_rows(path: Path) -> list[tuple[PurePath, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:  # spreadsheets put a mark before the first column's name
            return [(PurePath(row["file"].strip()), (row["class"] or "").strip()) for row in csv.DictReader(stream) if row["file"]]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"--truth {path}: needs columns 'file' and 'class' ({error!r})") from None


def _plain(name: str) -> str:
    return "".join(name.lower().replace("_", "").split())


def classify(
    model: GeoLangBind, path: Path, classes: Mapping[str, Sequence[str]], options: Mapping[str, Any], *, window_px: int | None = None
) -> Iterator[Guess]:
    """Classify one image: one guess for an image of about the model's size, one per window for a larger one.

    Args:
        model: in inference mode.
        path: file or scene folder.
        classes: phrases by class name.
        options: what the file does not say, see `data.rasters.open_raster`.
        window_px: side of a window; by default as much ground as the model saw in training, or its number of pixels where the
            ground sampling distance is unknown or coarser.

    Raises:
        GeoLangBindError: the image cannot be used; says what to add.
    """
    reader = open_raster(path, **options)
    prototypes: Tensor | None = None
    size = window_px or _window(model, reader)
    whole = max(reader.width, reader.height) <= WHOLE * size
    names = list(classes)
    for raster in [reader.read()] if whole else reader.windows(size):
        if prototypes is None:
            prototypes = class_vectors(model, classes, modality_of(raster.sensor, raster.unit))
        vector, how = embed(model, raster)
        scores = (model.towers.logit_scale.exp() * vector @ prototypes.T)[0].softmax(0)
        yield Guess(
            path,
            None if whole else raster.window,
            names[int(scores.argmax())],
            tuple(scores.tolist()),
            None,
            (_read_as(raster), *raster.notes, how),
        )


def _read_as(raster: Raster) -> str:
    names = [band.name for band in raster.bands]
    listed = ", ".join(names) if len(names) <= 13 else f"{len(names)} bands {names[0]} to {names[-1]}"
    return f"{raster.sensor.name} {listed} in {raster.unit}"


def _window(model: GeoLangBind, reader: RasterReader) -> int:
    size: int = model.vision.config.image_size
    if reader.gsd_m and model.gsd_m and reader.gsd_m < min(model.gsd_m):
        return round(size * min(model.gsd_m) / reader.gsd_m)
    return size


def embed(model: GeoLangBind, raster: Raster) -> tuple[Tensor, str]:
    """Encode a raster, resampled to the model's image size where it is larger.

    Returns:
        (1, D) unit vector and a note on how it was normalised.
    """
    image, valid = torch.from_numpy(raster.image)[None], torch.from_numpy(raster.valid)[None]
    height, width = image.shape[-2:]
    image, valid = average_to(image, valid, *shrunk_size(height, width, model.vision.config.image_size))
    names = [band.name for band in raster.bands]
    normalized, how = model.statistics.normalize(image, raster.channels, raster.sensor.name, names, valid)
    vector = model.encode_channels(normalized, raster.channels, valid)
    return vector, f"normalised by {'its own statistics' if how == 'exact' else 'the curve over wavelength (sensor not seen in training)'}"
