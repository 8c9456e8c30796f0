"""Segments as JSON values: what the lines of a pairs folder hold. Importable without torch."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geolangbind.errors import DataError
from geolangbind.interleaved.segments import Date, GeoBox, GeoPoint, Image, PixelBox, Segment, Text
from geolangbind.sensors.units import Unit

Sequence = tuple[Segment, ...]
_FACTS = ("sensor", "bands", "unit", "gsd_m", "date")
_FORMS = "text, or one of image, box, point, geobox, date"


@dataclass(frozen=True)
class StoredImage:
    """An image in indexed shards, as the `source` of an `Image`.

    Attributes:
        shards: name of the folder of shards in `pairs.json`.
        key: of the sample.
    """

    shards: str
    key: str


def sequence_to_json(sequence: Iterable[Segment], folder: Path | None = None) -> list[Any]:
    """Return segments as JSON values.

    Args:
        sequence: segments whose images are files or in shards.
        folder: where the values will lie; files are named relative to it. None names them as they are.

    Raises:
        DataError: an image is given as pixels.
    """
    return [_to_json(segment, folder) for segment in sequence]


def sequence_from_json(raw: object, folder: Path) -> Sequence:
    """Read what `sequence_to_json` returned; files become paths below `folder` unless absolute or an address.

    Raises:
        DataError: a value that is no segment, an unknown or impossible field, or a box of an image that the sequence does not have.
    """
    if not isinstance(raw, list) or not raw:
        raise DataError(f"a sequence is a list of at least one segment, got {raw!r:.80}")
    sequence = tuple(_from_json(value, folder) for value in raw)
    require_boxes_inside(sequence)
    return sequence


def require_boxes_inside(sequence: Sequence) -> None:
    """Check that every box names an image of its sequence.

    Raises:
        DataError: one does not.
    """
    images = sum(isinstance(segment, Image) for segment in sequence)
    for segment in sequence:
        if isinstance(segment, PixelBox) and segment.image >= images:
            raise DataError(f"a box names image {segment.image}, but its sequence has {images}; the first is 0")


def key_of(sequence: Iterable[Segment], folder: Path | None = None) -> str:
    """Return the identity of a sequence: equal for equal content; `folder` as in `sequence_to_json`."""
    return canonical(sequence_to_json(sequence, folder))


def canonical(value: object) -> str:
    """Return JSON with sorted names and no blanks: equal for equal values."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _to_json(segment: Segment, folder: Path | None) -> object:
    match segment:
        case Text():
            return segment.text
        case Image():
            return _image_to_json(segment, folder)
        case PixelBox():
            return {"box": _floats(segment.x0, segment.y0, segment.x1, segment.y1), "image": segment.image}
        case GeoPoint():
            return {"point": _floats(segment.lat, segment.lon)}
        case GeoBox():
            return {"geobox": _floats(segment.west, segment.south, segment.east, segment.north)}
        case Date():
            return {"date": segment.day.isoformat()}


def _image_to_json(image: Image, folder: Path | None) -> dict[str, Any]:
    facts: dict[str, Any] = {name: getattr(image, name) for name in _FACTS if getattr(image, name) is not None}
    if "date" in facts:
        facts["date"] = facts["date"].isoformat()
    if "bands" in facts:
        facts["bands"] = list(facts["bands"])
    source = image.source
    if isinstance(source, StoredImage):
        if facts:
            raise DataError(f"image {source.key} of shards '{source.shards}' has its own {', '.join(facts)}; shards say them")
        return {"image": source.key, "shards": source.shards}
    if not isinstance(source, str | Path) or image.valid is not None:
        raise DataError("an image of a pairs folder is a file or lies in shards; write pixels to a file first")
    return {"image": relative(source, folder), **facts}


def _from_json(raw: object, folder: Path) -> Segment:
    if isinstance(raw, str):
        return Text(raw)
    if not isinstance(raw, dict):
        raise DataError(f"{raw!r:.80} is no segment; one is {_FORMS}")
    try:
        match raw:
            case {"box": corners, **rest}:
                image = rest.pop("image", 0)
                _require_no_more(rest)
                if type(image) is not int:
                    raise ValueError("'image' of a box is a number, 0 the first")
                x0, y0, x1, y1 = _numbers(corners, 4)
                return PixelBox(x0, y0, x1, y1, image)
            case {"image": source, **rest}:
                return _image_from_json(source, rest, folder)
            case {"point": place, **rest}:
                _require_no_more(rest)
                return GeoPoint(*_numbers(place, 2))
            case {"geobox": extent, **rest}:
                _require_no_more(rest)
                return GeoBox(*_numbers(extent, 4))
            case {"date": day, **rest}:
                _require_no_more(rest)
                return Date(dt.date.fromisoformat(day))
    except (TypeError, ValueError) as error:
        raise DataError(f"segment {raw!r:.80}: {error}") from None
    raise DataError(f"segment {raw!r:.80}: one is {_FORMS}")


def _image_from_json(source: object, facts: dict[str, Any], folder: Path) -> Image:
    if not isinstance(source, str) or not source:
        raise ValueError("'image' is the key of a sample or a file")
    if "shards" in facts:
        shards = facts.pop("shards")
        _require_no_more(facts)
        if not isinstance(shards, str):
            raise ValueError("'shards' is the name of a folder of shards")
        return Image(StoredImage(shards, source))
    _require_no_more({name: value for name, value in facts.items() if name not in _FACTS})
    if "date" in facts:
        facts["date"] = dt.date.fromisoformat(facts["date"])
    if "unit" in facts:
        facts["unit"] = Unit.parse(facts["unit"])
    if "gsd_m" in facts:
        (facts["gsd_m"],) = _numbers([facts["gsd_m"]], 1)
    if "bands" in facts:
        facts["bands"] = tuple(facts["bands"])
    if not all(isinstance(word, str) for word in (facts.get("sensor", ""), *facts.get("bands", ()))):
        raise ValueError("'sensor' and 'bands' are names")
    return Image(resolved(source, folder), **facts)


def resolved(source: str, folder: Path) -> Path | str:
    """Return a file named relative to `folder` as a path; an address as it is."""
    return source if "://" in source else folder / source


def relative(source: str | Path, folder: Path | None) -> str:
    """Return the name of a file as seen from `folder` (None: as it is); an address as it is."""
    if folder is None or "://" in str(source):
        return str(source)
    # folders without their links, for `..` leaves the real one; the file keeps its name, whatever it is a link to
    place = Path(os.path.realpath(Path(source).parent), Path(source).name)
    return Path(os.path.relpath(place, os.path.realpath(folder))).as_posix()


def _floats(*numbers: float) -> list[float]:
    return [float(number) for number in numbers]  # 1 and 1.0 are one place, so they must be one key


def _numbers(raw: object, count: int) -> list[float]:
    if not isinstance(raw, list) or len(raw) != count or not all(type(number) in (int, float) for number in raw):
        raise ValueError(f"{count} number{'s are' if count > 1 else ' is'} needed, got {raw!r:.60}")
    return [float(number) for number in raw]


def _require_no_more(rest: Mapping[str, Any]) -> None:
    if rest:
        raise ValueError(f"unknown field '{next(iter(rest))}'")
