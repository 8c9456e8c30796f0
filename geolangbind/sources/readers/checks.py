"""What several readers check: options of a card's entry, paths that leave the folder, boxes that leave the image, places named twice."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from geolangbind.data.sample import Box
from geolangbind.errors import DataError, SettingsError
from geolangbind.sensors.records import nearest
from geolangbind.sources.card import Place
from geolangbind.sources.record import Record

_SPLITS = {"train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation"}
_SPLITS |= {"test": "test", "testing": "test"}


def check_options(place: Place, allowed: Sequence[str]) -> Mapping[str, Any]:
    """Return the options of a card's entry.

    Raises:
        SettingsError: the reader knows no such option.
    """
    for name in place.options:
        if name not in allowed:
            hint = nearest(name, allowed)
            raise SettingsError(f"{place.reader}: {place.spec}: unknown option '{name}'{hint}; options are {', '.join(allowed)}")
    return place.options


def within(root: Path, relative: str, where: object) -> Path:
    """Return `root / relative`.

    Raises:
        DataError: the path would leave the folder, so the file that names it is wrong or means harm.
    """
    parts = Path(relative.replace("\\", "/")).parts
    if not relative or "\0" in relative or ".." in parts or Path(relative).is_absolute():
        raise DataError(f"{where}: names the file '{relative}', which does not lie under {root}")
    return root / relative


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON: {error}") from None


def split_files(root: Path, pattern: str) -> list[tuple[Path, str]]:
    """Return the files that match a pattern, and the word that stands at its `{split}` (empty without one)."""
    tokens = {"{split}": "(?P<split>[^/]+)", "**/": "(?:.*/)?", "*": "[^/]*"}
    parts = re.split(r"(\{split\}|\*\*/|\*)", pattern)
    form = re.compile("".join(tokens.get(part, re.escape(part)) for part in parts))
    found = []
    for path in sorted(root.glob(pattern.replace("{split}", "*"))):
        if path.is_file() and (match := form.fullmatch(path.relative_to(root).as_posix())):
            found.append((path, match.groupdict().get("split", "")))
    return found


def split_name(word: str, where: object) -> str | None:
    """Return train, validation or test for a word of a file name (`val2017`); None for an empty one.

    Raises:
        SettingsError: the word is no split.
    """
    if not word:
        return None
    found = _SPLITS.get(word.lower().rstrip("0123456789_-"))
    if found is None:
        raise SettingsError(f"{where}: '{word}' is no split; say under 'splits' which files are train, validation and test")
    return found


def pixel_box(corners: Iterable[float], size: tuple[int, int] | None, text: str, where: object) -> Box:
    """Return a box, clipped to the image.

    Args:
        corners: x0, y0, x1, y1 in pixels.
        size: width and height of the image, or None if unknown.
        text: words for what is inside.
        where: file and image, for the message.

    Raises:
        DataError: the corners are no numbers, or nothing of the box lies in the image.
    """
    x0, y0, x1, y1 = corners
    if size is not None:
        width, height = size
        x0, x1 = max(x0, 0.0), min(x1, float(width))
        y0, y1 = max(y0, 0.0), min(y1, float(height))
    if not (all(map(isfinite, (x0, y0, x1, y1))) and x0 < x1 and y0 < y1):
        of = "" if size is None else f" of {size[0]} x {size[1]} pixels"
        raise DataError(f"{where}: no part of a box '{text}' lies in the image{of}; correct it, or set 'bad_boxes: drop'")
    return Box((x0, y0, x1, y1), text)


def bounds(points: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the box around x0, y0, x1, y1, ... of a polygon."""
    return min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])


def distinct_places(records: list[Record], root: Path) -> list[Record]:
    """Name records by their path under `root` where the file name alone names several.

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
    if twice := [place for place, count in Counter(record.place for record in named).items() if count > 1]:
        raise DataError(f"{root}: {twice[0]} is listed twice (and {len(twice) - 1} others); name under 'splits' the files to read")
    return named
