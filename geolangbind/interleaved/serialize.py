"""Boxes, places, days and facts of an image as words, and back. Importable without torch.

The forms are a contract with every checkpoint: whoever changes one changes `SERIALIZER`, and older checkpoints refuse to load.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from geolangbind.errors import DataError
from geolangbind.interleaved.segments import Date, GeoBox, GeoPoint, ImageFacts, PixelBox

SERIALIZER = "geolangbind-1"
BOX_START, BOX_END = "<|box_start|>", "<|box_end|>"
"""Delimiters of a box in the vocabularies of the Qwen2-VL family."""

IMAGE_FACTS = ("sensor", "gsd_m", "date")
"""Facts of an image that can be written before it."""

_BINS = 1000
_DEGREES = r"(-?\d{1,3}\.\d{4})"
_CORNERS = re.compile(r"\((\d{1,3}),(\d{1,3})\),\((\d{1,3}),(\d{1,3})\)")
_POINT = re.compile(f"latitude {_DEGREES}, longitude {_DEGREES}")
_GEOBOX = re.compile(f"west {_DEGREES}, south {_DEGREES}, east {_DEGREES}, north {_DEGREES}")


def write_corners(box: PixelBox, height: int, width: int) -> str:
    """A box as `(x0,y0),(x1,y1)`, each the number of its bin among 1000 along an image of `height` x `width` pixels.

    Raises:
        DataError: the box reaches out of the image.
    """
    if box.x1 > width or box.y1 > height:
        corners = f"{box.x0:g}, {box.y0:g}, {box.x1:g}, {box.y1:g}"
        raise DataError(f"the box {corners} (x0, y0, x1, y1) reaches out of its image of {width} x {height} pixels; clip it to the image")
    x0, x1 = (min(_BINS - 1, int(_BINS * x / width)) for x in (box.x0, box.x1))
    y0, y1 = (min(_BINS - 1, int(_BINS * y / height)) for y in (box.y0, box.y1))
    return f"({x0},{y0}),({x1},{y1})"


def write_box(box: PixelBox, height: int, width: int) -> str:
    """`write_corners` between box delimiters, as Qwen2-VL was taught."""
    return f"{BOX_START}{write_corners(box, height, width)}{BOX_END}"


def read_box(text: str, height: int, width: int, image: int = 0) -> PixelBox:
    """Read what `write_box` or `write_corners` wrote.

    A corner is put a quarter (first) or three quarters (second) into its bin: writing it again gives the same text, a box within
    one bin keeps an extent, and no corner moves by more than 0.75 bins.

    Raises:
        DataError: another form, or corners that do not ascend.
    """
    corners = text.removeprefix(BOX_START).removesuffix(BOX_END)
    x0, y0, x1, y1 = (float(group) for group in _groups(_CORNERS, corners, "a box", "(x0,y0),(x1,y1) in 0..999"))
    across, down = width / _BINS, height / _BINS
    return PixelBox((x0 + 0.25) * across, (y0 + 0.25) * down, (x1 + 0.75) * across, (y1 + 0.75) * down, image)


def write_point(point: GeoPoint) -> str:
    """A place in words: degrees with four decimals (11 m), south and west negative."""
    return f"latitude {_degrees(point.lat)}, longitude {_degrees(point.lon)}"


def read_point(text: str) -> GeoPoint:
    """Read what `write_point` wrote.

    Raises:
        DataError: another form, or out of range.
    """
    lat, lon = _groups(_POINT, text, "a place", "latitude 12.3456, longitude -45.6789")
    return GeoPoint(float(lat), float(lon))


def write_geobox(box: GeoBox) -> str:
    """An extent in words, rounded outwards to four decimals: it holds the extent and never shrinks to a line."""
    west, south = (_degrees(value, ROUND_FLOOR) for value in (box.west, box.south))
    east, north = (_degrees(value, ROUND_CEILING) for value in (box.east, box.north))
    return f"west {west}, south {south}, east {east}, north {north}"


def read_geobox(text: str) -> GeoBox:
    """Read what `write_geobox` wrote.

    Raises:
        DataError: another form, or out of range.
    """
    form = "west 1.0000, south 2.0000, east 3.0000, north 4.0000"
    return GeoBox(*(float(group) for group in _groups(_GEOBOX, text, "an extent", form)))


def write_date(date: Date) -> str:
    """A day as ISO 8601 writes it: 2020-05-01."""
    return date.day.isoformat()


def read_date(text: str) -> Date:
    """Read what `write_date` wrote.

    Raises:
        DataError: another form, or no such day.
    """
    year, month, day = _groups(re.compile(r"(\d{4})-(\d\d)-(\d\d)"), text, "a day", "2020-05-01")
    try:
        return Date(dt.date(int(year), int(month), int(day)))
    except ValueError as error:
        raise DataError(f"'{text}' is no day of the calendar: {error}") from None


def write_image_facts(facts: ImageFacts, names: Sequence[str] = IMAGE_FACTS) -> str:
    """The named facts in short words, such as `sentinel-2-l2a 10 m 2020-05-01`; unknown ones are left out."""
    words = {
        "sensor": facts.sensor,
        "gsd_m": None if facts.gsd_m is None else f"{facts.gsd_m:g} m",
        "date": None if facts.date is None else facts.date.isoformat(),
    }
    return " ".join(word for word in (words[name] for name in names) if word)


def _degrees(value: float, rounding: str = ROUND_HALF_EVEN) -> str:
    # through the shortest decimal form, so that 12.3 stays 12.3000; adding 0 takes the sign off a zero
    return f"{Decimal(repr(float(value))).quantize(Decimal('0.0001'), rounding) + 0:f}"


def _groups(pattern: re.Pattern[str], text: str, what: str, form: str) -> tuple[str, ...]:
    match = pattern.fullmatch(text)
    if match is None:
        raise DataError(f"'{text:.80}' is not {what} as serializer {SERIALIZER} writes it: {form}")
    return match.groups()
