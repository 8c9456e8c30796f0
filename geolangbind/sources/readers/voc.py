"""Boxes in Pascal VOC's XML: `{voc: "Annotations/*.xml", image: "JPEGImages/{filename}"}`.

Options: `image` (pattern with `{filename}` as the XML says, `{stem}` of the XML's own name, `{split}`), `splits` (lists of XML names by
split; others are then left out), `without` (classes to leave out), `bad_boxes: drop` (else an error).

An object's region is the first of `bndbox`, `robndbox`, `rotated_bndbox`, `polygon`, `points` that it has, as corners (`xmin` ...), as a
rectangle turned by `angle` (`cx cy w h angle`, radians) or as points (`x1 y1 ...`, `x_left_top y_left_top ...`, `<point>x,y</point>`).
Coordinates are taken as stored: VOC counts pixels from 1, most of its users from 0, and no file says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, sin
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from geolangbind.data.sample import Box
from geolangbind.errors import DataError
from geolangbind.sources.card import Card, Place, View
from geolangbind.sources.readers.checks import bounds, check_options, distinct_places, pixel_box, split_files, split_name, within
from geolangbind.sources.record import Record

_OPTIONS = ("image", "splits", "without", "bad_boxes")
_REGIONS = ("bndbox", "robndbox", "rotated_bndbox", "polygon", "points")


class _PlainTree(ElementTree.TreeBuilder):
    """Refuses document types, the part of XML that can define entities; called before any of them is read."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DataError("declares a document type, which annotations do not need and entity bombs do")


def records(root: Path, place: Place, card: Card, view: View) -> list[Record]:
    """List the images of VOC files, those without objects too.

    Raises:
        DataError: a file is damaged, a split's list is missing or names an unknown file, or a box lies outside its image.
        SettingsError: an option or split is unknown.
    """
    options = check_options(place, _OPTIONS)
    files = split_files(root, place.spec)
    if not files:
        return []
    listed = _listed(root, options.get("splits", {}), {path.stem for path, _ in files})
    found = []
    for path, word in files:
        if listed and path.stem not in listed:
            continue
        split = listed[path.stem] if listed else split_name(word, path)
        filename, boxes = read_annotation(path, options)
        image = str(options.get("image", "JPEGImages/{filename}")).replace("{split}", word).replace("{stem}", path.stem)
        if "{filename}" in image and not filename:
            raise DataError(f"{path}: does not say its image's filename; use {{stem}} in 'image'")
        found.append(Record(path.stem, within(root, image.replace("{filename}", filename), path), split, boxes=boxes))
    return distinct_places(found, root)


def read_annotation(path: Path, options: Mapping[str, Any]) -> tuple[str, tuple[Box, ...]]:
    """Return the image's file name and the boxes of one XML file.

    Raises:
        DataError: it cannot be read, or a box lies outside the image.
    """
    try:
        tree = ElementTree.parse(path, parser=ElementTree.XMLParser(target=_PlainTree())).getroot()
        width, height = (int(float(tree.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    except (OSError, ValueError, LookupError, ElementTree.ParseError) as error:
        raise DataError(f"{path}: not readable as VOC annotation: {error}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    boxes = []
    for entry in tree.iterfind("object"):
        name = (entry.findtext("name") or "").strip()
        if name in options.get("without", ()):
            continue
        try:
            boxes.append(pixel_box(_corners(entry, path), (width, height) if width and height else None, name, path))
        except DataError:
            if options.get("bad_boxes") != "drop":
                raise
    return (tree.findtext("filename") or "").strip(), tuple(boxes)


def _corners(entry: ElementTree.Element, path: Path) -> tuple[float, float, float, float]:
    region = next((found for tag in _REGIONS if (found := entry.find(tag)) is not None), None)
    try:
        if region is None:
            raise ValueError(f"has none of {', '.join(_REGIONS)}")
        said = {child.tag: (child.text or "").strip() for child in region}
        if "xmin" in said:
            return float(said["xmin"]), float(said["ymin"]), float(said["xmax"]), float(said["ymax"])
        if "angle" in said:
            return _turned(*(float(said[tag]) for tag in ("cx", "cy", "w", "h", "angle")))
        points = [float(number) for child in region.iter("point") for number in (child.text or "").split(",")]
        points = points or [float(said[axis + tag[1:]]) for tag in said if tag.startswith("x") for axis in "xy"]
        if len(points) < 6 or len(points) % 2:
            raise ValueError(f"has a {region.tag} without corners")
        return bounds(points)
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: an object {error}; correct it, or set 'bad_boxes: drop'") from None


def _turned(cx: float, cy: float, width: float, height: float, angle: float) -> tuple[float, float, float, float]:
    """Return the box around a rectangle turned by `angle` about its centre; the same for either sense of rotation."""
    half_width = (width * abs(cos(angle)) + height * abs(sin(angle))) / 2
    half_height = (width * abs(sin(angle)) + height * abs(cos(angle))) / 2
    return cx - half_width, cy - half_height, cx + half_width, cy + half_height


def _listed(root: Path, splits: Mapping[str, str], known: set[str]) -> dict[str, str]:
    """Return the split of each listed name: the first word of each line, with or without a suffix."""
    found: dict[str, str] = {}
    for split, relative in splits.items():
        path = within(root, str(relative), "splits")
        try:
            words = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not readable as list of the split {split}: {error}") from None
        for word in words:
            stem = word if word in known else Path(word).stem
            if stem not in known:
                raise DataError(f"{path}: lists '{word}', for which there is no annotation")
            found[stem] = split
    return found
