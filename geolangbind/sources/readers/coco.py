"""Boxes in COCO's JSON: `{coco: "annotations/instances_{split}.json", image: "images/{file_name}"}`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geolangbind.data.sample import Box
from geolangbind.errors import DataError, SettingsError
from geolangbind.sources.card import Card, Place, View
from geolangbind.sources.readers.checks import bounds, distinct_places, pixel_box, read_json
from geolangbind.sources.readers.options import check_options, text_option, texts_option
from geolangbind.sources.readers.patterns import fill, find, split_name
from geolangbind.sources.record import Record


def records(root: Path, place: Place, card: Card, view: View) -> list[Record]:
    """List the images of COCO files, those without boxes too.

    A box is the annotation's `bbox`, else the one around its polygons, clipped to the image; its text is the category's name.

    Options:
        image: pattern of the image's path, of the fields of the image's entry and the names of the annotation file's own pattern.
        splits: annotation files by split, a name with or without suffix or a list of them; other files are then left out.
        without: categories to leave out.
        crowd: `keep` for groups (`iscrowd`) and ignored regions (`ignore`), which are left out else.
        bad_boxes: `drop` for boxes outside their image or without an area, which are an error else.

    Raises:
        SettingsError: an unknown option or an impossible pattern.
        DataError: a file is damaged, names an unknown category or image, or a box cannot be used; the message names file and image.
    """
    check_options(place, ("image", "splits", "without", "crowd", "bad_boxes"))
    splits = _splits(place)
    found: list[Record] = []
    for path, said in find(root, place.spec):
        split = splits.get(path.name, splits.get(path.stem)) if splits else said.get("split", "")
        if split is not None:
            found += _of_file(root, path, {"split": split, **said}, split_name(split or None), place)
    return distinct_places(found, root)


def _splits(place: Place) -> dict[str, str]:
    """Return the split of each annotation file that the card names."""
    told = place.options.get("splits", {})
    names = (
        {split: [value] if isinstance(value, str) else value for split, value in told.items()} if isinstance(told, dict) else {None: None}
    )
    if not all(isinstance(listed, list) and all(isinstance(name, str) for name in listed) for listed in names.values()):
        raise SettingsError(f"coco: splits must name the annotation files of each split, as in {{train: [train2017]}}, got '{told}'")
    return {name: str(split) for split, listed in names.items() for name in listed or ()}


def _of_file(root: Path, path: Path, said: Mapping[str, str], split: str | None, place: Place) -> list[Record]:
    document = read_json(path)
    pattern = text_option(place, "image") or "images/{file_name}"
    try:
        categories = {entry["id"]: str(entry["name"]) for entry in document.get("categories", ())}
        # some followers of COCO write the name in one word
        images = {entry["id"]: {"file_name": entry.get("filename"), **entry} for entry in document["images"]}
        if len(images) < len(document["images"]):
            raise DataError(f"{path}: two images have the same id; the file is damaged")
        boxes: dict[Any, list[Box]] = {number: [] for number in images}
        for annotation in document.get("annotations", ()):
            number = annotation["image_id"]
            if number not in images:
                raise DataError(f"{path}: an annotation is for image {number}, which is not listed; the file is damaged")
            boxes[number] += _boxes(annotation, images[number], categories, f"{path}: {images[number]['file_name']}", place)
        return [
            Record(
                place=Path(image["file_name"]).with_suffix("").as_posix(),
                image=fill(root, pattern, {**image, **said}),
                split=split,
                boxes=tuple(boxes[number]),
            )
            for number, image in images.items()
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{path}: not as COCO writes it: {type(error).__name__} {error}") from None


def _boxes(annotation: Mapping[str, Any], image: Mapping[str, Any], categories: Mapping[Any, str], where: str, place: Place) -> list[Box]:
    """The annotation's box, or none where it is to be left out."""
    if annotation["category_id"] not in categories:
        raise DataError(f"{where}: category {annotation['category_id']} is not listed under 'categories'")
    name = categories[annotation["category_id"]]
    hidden = (annotation.get("iscrowd") or annotation.get("ignore")) and text_option(place, "crowd") != "keep"
    if hidden or name in texts_option(place, "without"):
        return []
    size = (int(image["width"]), int(image["height"])) if image.get("width") and image.get("height") else None
    try:
        return [pixel_box(_corners(annotation, where), size, name, where)]
    except DataError:
        if text_option(place, "bad_boxes") != "drop":
            raise
        return []


def _corners(annotation: Mapping[str, Any], where: str) -> tuple[float, float, float, float]:
    if annotation.get("bbox"):
        x, y, width, height = map(float, annotation["bbox"])
        return x, y, x + width, y + height
    polygons = annotation.get("segmentation")
    points = [float(number) for polygon in polygons for number in polygon] if isinstance(polygons, list) else []
    if len(points) < 6 or len(points) % 2:
        raise DataError(f"{where}: an annotation has neither bbox nor polygons; correct it, or say 'bad_boxes: drop'")
    return bounds(points)
