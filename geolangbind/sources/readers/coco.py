"""Boxes in COCO's JSON: `{coco: "annotations/instances_{split}.json", image: "images/{file_name}"}`.

Options: `image` (pattern with `{file_name}` and `{split}`), `splits` (annotation files, or words at `{split}`, by split; others are then left
out), `without` (categories to leave out), `crowd: keep` (groups and ignored regions, else left out), `bad_boxes: drop` (else an error).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geolangbind.data.sample import Box
from geolangbind.errors import DataError
from geolangbind.sources.card import Card, Place, View
from geolangbind.sources.readers.checks import bounds, check_options, distinct_places, pixel_box, read_json, split_files, split_name, within
from geolangbind.sources.record import Record

_OPTIONS = ("image", "splits", "without", "crowd", "bad_boxes")


def records(root: Path, place: Place, card: Card, view: View) -> list[Record]:
    """List the images of COCO files, those without boxes too. A box is the annotation's `bbox`, else the one around its polygons.

    Raises:
        DataError: a file is damaged, names an unknown category or image, or a box lies outside its image.
        SettingsError: an option or split is unknown.
    """
    options = check_options(place, _OPTIONS)
    found: list[Record] = []
    for path, word in split_files(root, place.spec):
        if options.get("splits"):
            wanted = [split for split, names in options["splits"].items() if {word, path.name, path.stem} & set(names)]
            if not wanted:
                continue
            split = wanted[0]
        else:
            split = split_name(word, path)
        found += _of_file(root, path, word, split, options)
    return distinct_places(found, root)


def _of_file(root: Path, path: Path, word: str, split: str | None, options: Mapping[str, Any]) -> list[Record]:
    document = read_json(path)
    try:
        categories = {item["id"]: str(item["name"]) for item in document.get("categories", ())}
        images = {item["id"]: item for item in document["images"]}
        if len(images) != len(document["images"]):
            raise DataError(f"{path}: two images have the same id; the file is damaged")
        boxes: dict[Any, list[Box]] = {number: [] for number in images}
        for annotation in document.get("annotations", ()):
            if annotation["image_id"] not in images:
                raise DataError(f"{path}: an annotation is for image {annotation['image_id']}, which is not listed")
            image = images[annotation["image_id"]]
            box = _box(annotation, image, categories, f"{path}: {image['file_name']}", options)
            if box is not None:
                boxes[annotation["image_id"]].append(box)
        pattern = str(options.get("image", "images/{file_name}")).replace("{split}", word)
        return [
            Record(
                place=Path(image["file_name"]).with_suffix("").as_posix(),
                image=within(root, pattern.replace("{file_name}", image["file_name"]), path),
                split=split,
                boxes=tuple(boxes[number]),
            )
            for number, image in images.items()
        ]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(f"{path}: not a COCO file: {type(error).__name__} {error}") from None


def _box(
    annotation: Mapping[str, Any], image: Mapping[str, Any], categories: Mapping[Any, str], where: str, options: Mapping[str, Any]
) -> Box | None:
    if annotation["category_id"] not in categories:
        raise DataError(f"{where}: category {annotation['category_id']} is not listed under 'categories'")
    name = categories[annotation["category_id"]]
    hidden = (annotation.get("iscrowd") or annotation.get("ignore")) and options.get("crowd") != "keep"
    if hidden or name in options.get("without", ()):
        return None
    size = (int(image["width"]), int(image["height"])) if image.get("width") and image.get("height") else None
    try:
        return pixel_box(_corners(annotation, where), size, name, where)
    except DataError:
        if options.get("bad_boxes") == "drop":
            return None
        raise


def _corners(annotation: Mapping[str, Any], where: str) -> tuple[float, float, float, float]:
    if annotation.get("bbox"):
        x, y, width, height = map(float, annotation["bbox"])
        return x, y, x + width, y + height
    polygons = annotation.get("segmentation")
    points = [float(number) for polygon in polygons for number in polygon] if isinstance(polygons, list) else []
    if len(points) < 6 or len(points) % 2:
        raise DataError(f"{where}: an annotation has neither a bbox nor a polygon; correct it, or set 'bad_boxes: drop'")
    return bounds(points)
