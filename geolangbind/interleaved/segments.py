"""What a sequence is made of: typed values, checked where they are built. Importable without torch."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from geolangbind.errors import DataError
from geolangbind.sensors.units import Unit


@dataclass(frozen=True)
class Text:
    """Words. A plain `str` in a sequence stands for it.

    Raises:
        DataError: something else than a string.
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise DataError(f"the text of a sequence is a string; got {_shown(self.text)}")


@dataclass(frozen=True, eq=False)
class Image:
    """One image of one sensor.

    Attributes:
        source: a file or folder that `geolangbind.read_raster` takes, a `Raster` that it returned (for its further options: scale,
            offset, no-data, window), or pixels (C, H, W).
        sensor: name of the sensor record; None where the file says it.
        bands: band names in channel order; None where file or sensor say them.
        unit: unit of the values; None where the file says it.
        gsd_m: ground sampling distance in metres; None where file or nobody knows.
        date: day of acquisition; of a `datetime`, its day.
        valid: (H, W) bool, False where there is no data; only beside pixels.

    Raises:
        DataError: `date` is no day, or `gsd_m` is not finite and above 0.
    """

    source: Any
    sensor: str | None = None
    bands: tuple[str, ...] | None = None
    unit: Unit | str | None = None
    gsd_m: float | None = None
    date: dt.date | None = None
    valid: Any = None

    def __post_init__(self) -> None:
        if self.date is not None:
            object.__setattr__(self, "date", _day(self.date))
        if self.gsd_m is not None and not (isinstance(self.gsd_m, Real) and math.isfinite(self.gsd_m) and self.gsd_m > 0):
            raise DataError(f"gsd_m is a number of metres above 0; got {_shown(self.gsd_m)}")


@dataclass(frozen=True)
class PixelBox:
    """A region of an image: corners in pixels of that image, x to the right and y down, and which image of the sequence (0 the first).

    Raises:
        DataError: corners that are not finite, negative or do not ascend, or a negative image number.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    image: int = 0

    def __post_init__(self) -> None:
        corners = (self.x0, self.y0, self.x1, self.y1)
        if not all(map(math.isfinite, corners)) or not (0 <= self.x0 < self.x1 and 0 <= self.y0 < self.y1):
            raise DataError(f"a pixel box is x0, y0, x1, y1 with 0 <= x0 < x1 and 0 <= y0 < y1; got {corners}")
        if self.image < 0:
            raise DataError(f"a pixel box names its image by number, 0 the first; got {self.image}")


@dataclass(frozen=True)
class GeoPoint:
    """A place: WGS84 latitude and longitude in degrees.

    Raises:
        DataError: out of range.
    """

    lat: float
    lon: float

    def __post_init__(self) -> None:
        if not (-90 <= self.lat <= 90 and -180 <= self.lon <= 180):
            raise DataError(f"a place is latitude -90..90 and longitude -180..180 in degrees; got {self.lat}, {self.lon}")


@dataclass(frozen=True)
class GeoBox:
    """An extent on the ground: WGS84 degrees; `west` > `east` where it crosses the antimeridian.

    Raises:
        DataError: out of range, or south not below north.
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        extent = (self.west, self.south, self.east, self.north)
        if not (-180 <= self.west <= 180 and -180 <= self.east <= 180 and -90 <= self.south < self.north <= 90):
            raise DataError(f"an extent is west, south, east, north in degrees, south below north; got {extent}")


@dataclass(frozen=True)
class Date:
    """A day; of a `datetime`, its day.

    Raises:
        DataError: it is neither.
    """

    day: dt.date

    def __post_init__(self) -> None:
        object.__setattr__(self, "day", _day(self.day))


Segment = Text | Image | PixelBox | GeoPoint | GeoBox | Date


@dataclass(frozen=True)
class ImageFacts:
    """What the renderer needs to know of an opened image.

    Attributes:
        sensor: name of the sensor record.
        bands: band names.
        height: in pixels.
        width: in pixels.
        gsd_m: ground sampling distance in metres, or None.
        date: day of acquisition, or None.
    """

    sensor: str
    bands: tuple[str, ...]
    height: int
    width: int
    gsd_m: float | None = None
    date: dt.date | None = None


def as_segments(sequence: Any) -> tuple[Segment, ...]:  # noqa: ANN401 - whatever a user passes
    """Return a user's sequence with plain strings as `Text`.

    Raises:
        DataError: something that is no segment; paths must be wrapped in `Image`.
    """
    if isinstance(sequence, str | Path) or not hasattr(sequence, "__iter__"):
        raise DataError(f"a sequence is a list of segments, for example [Image('scene.tif'), 'a harbour']; got {_shown(sequence)}")
    segments: list[Segment] = []
    for part in sequence:
        part = Text(part) if isinstance(part, str) else part
        if not isinstance(part, Segment):
            raise DataError(f"{_shown(part)} is no segment; use text, Image, PixelBox, GeoPoint, GeoBox or Date")
        segments.append(part)
    if not segments:
        raise DataError("a sequence needs at least one segment")
    return tuple(segments)


def _day(value: object) -> dt.date:
    """A day without the time, which would be written into the sequence as well."""
    if isinstance(value, dt.datetime) and value == value:  # pandas' missing time is a datetime too, and equals nothing
        return value.date()
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    raise DataError(f"a day is a datetime.date, for example datetime.date.fromisoformat('2020-05-01'); got {_shown(value)}")


def _shown(value: object) -> str:
    """The start of a value in one line; arrays print many."""
    return " ".join(repr(value).split())[:80]
