"""Boxes in Pascal VOC's XML: `{voc: "Annotations/*.xml", image: "JPEGImages/{filename}"}`.

An object's region is the first of `bndbox`, `robndbox`, `rotated_bndbox`, `polygon`, `points` that it has, as corners (`xmin` ...), as a
rectangle turned by `angle` (`cx cy w h angle`, radians), or as points (`x1 y1 ...`, `x_left_top y_left_top ...`, `<point>x,y</point>`).
Coordinates are taken as stored: VOC counts pixels from 1, many of its followers from 0, and no file says which.
"""

from __future__ import annotations

from collections.abc import Collection
from math import cos, sin
from pathlib import Path
from xml.etree import ElementTree

from geolangbind.data.sample import Box
from geolangbind.errors import DataError
from geolangbind.sources.card import Card, Place, View
from geolangbind.sources.readers.checks import bounds, distinct_places, pixel_box
from geolangbind.sources.readers.files import Splits
from geolangbind.sources.readers.options import check_options, text_option, texts_option
from geolangbind.sources.readers.patterns import fill, find, split_name
from geolangbind.sources.record import Record

_REGIONS = ("bndbox", "robndbox", "rotated_bndbox", "polygon", "points")


class _PlainTree(ElementTree.TreeBuilder):
    """Refuses document types, the part of XML that defines entities; called before any of them is read."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DataError("declares a document type, which annotations do not need and entity bombs do")


def records(root: Path, place: Place, card: Card, view: View) -> list[Record]:
    """List the images of VOC files, those without objects too. The place is the name of the XML file.

    Options:
        image: pattern of the image's path, of `{filename}` as the XML says it, `{stem}`, the XML's own name, and the names of its pattern.
        splits: as in `files`.
        without: classes to leave out.
        bad_boxes: `drop` for boxes outside their image or without an area, which are an error else.

    Raises:
        SettingsError: an unknown option or an impossible pattern.
        DataError: a file is damaged, a split's list is missing while another one is there, or a box cannot be used.
    """
    check_options(place, ("image", "splits", "without", "bad_boxes"))
    pattern = text_option(place, "image") or "JPEGImages/{filename}"
    without, tolerant = texts_option(place, "without"), text_option(place, "bad_boxes") == "drop"
    lists = Splits.read(root, place)
    found = []
    for path, said in find(root, place.spec):
        filename, boxes = read_annotation(path, without, tolerant=tolerant)
        found.append(
            Record(
                place=path.stem,
                image=fill(root, pattern, {**said, "stem": path.stem, "filename": filename}),
                split=split_name(said.get("split")) or lists.of(path.stem, Path(filename), said),
                boxes=boxes,
            )
        )
    return distinct_places(found, root)


def read_annotation(path: Path, without: Collection[str] = (), *, tolerant: bool = False) -> tuple[str, tuple[Box, ...]]:
    """Return the image's file name and the boxes of one XML file.

    Args:
        path: the file.
        without: classes to leave out.
        tolerant: leave out boxes that cannot be used.

    Raises:
        DataError: the file cannot be read, or a box cannot be used.
    """
    try:
        tree = ElementTree.parse(path, parser=ElementTree.XMLParser(target=_PlainTree())).getroot()
        width, height = (int(float(tree.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    except (OSError, ValueError, OverflowError, LookupError, ElementTree.ParseError, DataError) as error:
        raise DataError(f"{path}: not readable as VOC annotation: {error}") from None
    boxes = []
    for entry in tree.iter("object"):
        name = (entry.findtext("name") or entry.findtext("possibleresult/name") or "").strip()
        try:
            if name not in without:
                boxes.append(pixel_box(_corners(entry, path), (width, height) if width and height else None, name, path))
        except DataError:
            if not tolerant:
                raise
    return (tree.findtext("filename") or tree.findtext("source/filename") or "").strip(), tuple(boxes)


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
        raise DataError(f"{path}: an object {error}; correct it, or say 'bad_boxes: drop'") from None


def _turned(cx: float, cy: float, width: float, height: float, angle: float) -> tuple[float, float, float, float]:
    """Return the box around a rectangle turned by `angle` about its centre; the same for either sense of rotation."""
    half_width = (width * abs(cos(angle)) + height * abs(sin(angle))) / 2
    half_height = (width * abs(sin(angle)) + height * abs(cos(angle))) / 2
    return cx - half_width, cy - half_height, cx + half_width, cy + half_height
