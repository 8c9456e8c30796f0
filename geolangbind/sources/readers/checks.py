"""What several readers check: JSON that cannot be read, boxes that leave the image, places that name two images."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from geolangbind.data.sample import Box
from geolangbind.errors import DataError
from geolangbind.sources.record import Record


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON
    """Return the content of a JSON file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON: {error}") from None


def pixel_box(corners: tuple[float, float, float, float], size: tuple[int, int] | None, text: str, where: object) -> Box:
    """Return a box, clipped to the image.

    Args:
        corners: x0, y0, x1, y1 in pixels.
        size: width and height of the image, or None if unknown.
        text: words for what is inside.
        where: file and image, for the message.

    Raises:
        DataError: the corners are no numbers, or nothing of the box lies in the image.
    """
    width, height = map(float, size or (float("inf"), float("inf")))
    x0, y0, x1, y1 = max(corners[0], 0.0), max(corners[1], 0.0), min(corners[2], width), min(corners[3], height)
    if not (all(map(isfinite, (*corners, x1, y1))) and x0 < x1 and y0 < y1):
        of = "" if size is None else f" of {size[0]} x {size[1]} pixels"
        raise DataError(f"{where}: no part of a box '{text}' lies in the image{of}; correct it, or say 'bad_boxes: drop'")
    return Box((x0, y0, x1, y1), text)


def bounds(points: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the box around the points x0, y0, x1, y1, ..."""
    return min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])


def distinct_places(records: list[Record], root: Path) -> list[Record]:
    """Name records by the path of their image under `root` where its name alone stands for several.

    Raises:
        DataError: an image is listed twice.
    """
    counts = Counter(record.place for record in records)
    named = [
        replace(record, place=record.image.relative_to(root).with_suffix("").as_posix())
        if counts[record.place] > 1 and isinstance(record.image, Path)
        else record
        for record in records
    ]
    twice = [place for place, count in Counter(record.place for record in named).items() if count > 1]
    if twice:
        raise DataError(
            f"{root}: {len(twice)} images are listed twice, as {twice[0]}; give each to one split, or name other files in the card"
        )
    return named
