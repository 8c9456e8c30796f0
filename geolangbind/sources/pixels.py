"""From a record to pixels: one way to open rasters and the items of readers, whole or by windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolangbind.captions import Caption
from geolangbind.data.decode import decode_image
from geolangbind.data.raster_grid import PixelWindow
from geolangbind.data.raster_reader import RasterReader, Stored
from geolangbind.data.raster_source import inspect
from geolangbind.data.rasters import open_raster
from geolangbind.data.sample import Box, Encoding
from geolangbind.data.stac import read_item
from geolangbind.errors import DataError, NoValidPixelError, UnitError
from geolangbind.sensors import Unit, get_sensor
from geolangbind.sources.card import View
from geolangbind.sources.masks import read_mask
from geolangbind.sources.readers import OPENERS
from geolangbind.sources.record import Item, Record

_MAX_BYTES = 1 << 29
"""No chip is larger: 512 MiB are 9,000 x 9,000 pixels of RGB in float, or 1,150 x 1,150 of 202 bands."""

_PICTURES: Mapping[str, Encoding] = {".jpg": "jpg", ".jpeg": "jpg", ".png": "png"}


@dataclass(frozen=True, eq=False)
class Opened:
    """A record opened, before its pixels are read.

    Attributes:
        read: gives the stored numbers of a window (column, row, width, height).
        bands: band names in channel order.
        width: columns.
        height: rows.
        gsd_m: metres per pixel, None if unknown.
        mask: class numbers (H, W) uint8, or None.
        classes: class names.
        captions: those the source gives.
        boxes: regions.
        datetime: acquisition time, ISO 8601, or None.
        file: the picture's own file where its bytes may be stored as they are, or None.
    """

    read: Callable[[PixelWindow], Stored]
    bands: tuple[str, ...]
    width: int
    height: int
    gsd_m: float | None
    mask: NDArray[np.uint8] | None
    classes: tuple[str, ...]
    captions: tuple[Caption, ...]
    boxes: tuple[Box, ...]
    datetime: str | None = None
    file: Path | None = None


def open_record(record: Record, view: View) -> Opened:
    """Open the image of a record.

    Raises:
        DataError: the image or its mask cannot be read, or do not fit each other.
        SensorError: its bands are not known.
        UnitError: its unit is not known.
    """
    return _open_item(record, record.image, view) if isinstance(record.image, Item) else _open_raster(record, record.image, view)


def check_size(opened: Opened, window: PixelWindow, dtype_bytes: int = 4) -> None:
    """Refuse a chip that nobody could train on, before its pixels are read.

    Raises:
        DataError: says how to cut it.
    """
    _, _, width, height = window
    if len(opened.bands) * width * height * dtype_bytes > _MAX_BYTES:
        raise DataError(
            f"{width} x {height} pixels of {len(opened.bands)} bands are too large for one sample; cut the image into chips with "
            "`fit: tile` and `size_px: 512` in the view"
        )


def picture_bytes(opened: Opened, stored: Stored, wanted: Encoding | None) -> tuple[Encoding, bytes] | None:
    """Return encoding and bytes of a JPEG or PNG file to be stored as they are, or None.

    Without an encoding wanted, only where the bytes decode to exactly the stored numbers: decoders of JPEG differ by a few levels. Where
    the card wants `jpg`, the file's bytes are better than a second compression.
    """
    encoding = None if opened.file is None else _PICTURES.get(opened.file.suffix.lower())
    if opened.file is None or encoding is None or wanted not in (None, encoding):
        return None
    data = opened.file.read_bytes()
    try:
        image = decode_image(data, encoding)
    except DataError:  # a palette, or four channels: readable as a raster, but no member of a shard
        return None
    same = image.shape == stored.image.shape if wanted == encoding else np.array_equal(image, stored.image)
    return (encoding, data) if same else None


def _open_raster(record: Record, path: Path, view: View) -> Opened:
    readers = _readers(record, path, view)
    first = readers[0]
    return Opened(
        read=first.read_stored if len(readers) == 1 else partial(_read_stack, readers),
        bands=tuple(band.name for reader in readers for band in reader.bands),
        width=first.width,
        height=first.height,
        gsd_m=first.gsd_m or view.gsd_m,
        mask=None if record.mask is None else read_mask(record.mask, first, record.mask_colors, record.mask_values),
        classes=record.classes,
        captions=record.captions,
        boxes=record.boxes,
        datetime=read_item(path).datetime if path.suffix in (".json", ".geojson") else None,
        file=path if path.is_file() and len(readers) == 1 else None,
    )


def _readers(record: Record, path: Path, view: View) -> list[RasterReader]:
    """Open the image, and the files of its stack, whose channels are the further bands of the view."""
    open_one = partial(
        open_raster, sensor=view.sensor, unit=view.unit, scale=view.scale, offset=view.offset, nodata=view.nodata,
        channels=record.channels or None,
    )  # fmt: skip
    if not record.stack:
        return [open_one(path, bands=view.bands)]
    readers: list[RasterReader] = []
    left = view.bands or ()
    for file in (path, *record.stack):
        count = len(inspect(file).bands)
        readers.append(open_one(file, bands=left[:count]))
        left = left[count:]
    if left or len({(reader.width, reader.height) for reader in readers}) > 1:
        sizes = ", ".join(f"{reader.path.name} {len(reader.layers)} x {reader.height} x {reader.width}" for reader in readers)
        raise DataError(f"{path}: the files of its stack do not make one image of {len(view.bands or ())} bands: {sizes}")
    return readers


def _read_stack(readers: Sequence[RasterReader], window: PixelWindow) -> Stored:
    parts = [reader.read_stored(window) for reader in readers]
    if len({(part.unit, part.scale, part.offset, str(part.nodata)) for part in parts}) > 1:
        raise DataError(
            f"{readers[0].path}: the files of its stack have different units or no-data numbers; say --unit, --scale and --offset"
        )
    return replace(parts[0], image=np.concatenate([part.image for part in parts]))


def _open_item(record: Record, item: Item, view: View) -> Opened:
    content = OPENERS[item.reader](item)
    bands = view.bands or tuple(band.name for band in get_sensor(view.sensor).bands)
    if len(bands) != len(content.image):
        raise DataError(f"{len(content.image)} channels, but the card names {len(bands)} bands")
    unit, scale, offset = _unit(view, bands)

    def read(window: PixelWindow) -> Stored:
        column, row, width, height = window
        image = content.image[:, row : row + height, column : column + width]
        nodata = math.nan if view.nodata is None and image.dtype.kind == "f" else view.nodata
        holes = np.isnan(image) if nodata is not None and math.isnan(nodata) else image == nodata
        if nodata is not None and holes.any(axis=0).all():
            raise NoValidPixelError("has no valid pixel")
        whole = (width, height) == content.image.shape[:0:-1]
        return Stored(image, unit, scale, offset, nodata, content.bounds_wgs84 if whole else None)

    return Opened(
        read=read,
        bands=bands,
        width=content.image.shape[2],
        height=content.image.shape[1],
        gsd_m=view.gsd_m,
        mask=content.mask,
        classes=content.classes or record.classes,
        captions=(*record.captions, *content.captions),
        boxes=content.boxes or record.boxes,
        datetime=content.datetime,
    )


def _unit(view: View, bands: Sequence[str]) -> tuple[Unit, float, float]:
    """What the card says of the numbers, else the sensor's fixed rule."""
    sensor = get_sensor(view.sensor)
    band = sensor.band(bands[0])
    unit = view.unit or sensor.unit_of(band)
    scale, offset = sensor.scale_of(band) if view.unit in (None, sensor.unit_of(band)) else (1.0, 0.0)
    scale, offset = view.scale if view.scale is not None else scale, view.offset if view.offset is not None else offset
    if scale is None or offset is None:
        raise UnitError(f"the card does not say how the numbers become {unit}; say --scale and --offset (unit = stored * scale + offset)")
    return unit, scale, offset
