"""From a record to pixels: one way to open rasters and the items of readers, whole or by windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolangbind.captions import Caption
from geolangbind.data.decode import decode_image
from geolangbind.data.raster_grid import PixelWindow
from geolangbind.data.raster_reader import Stored
from geolangbind.data.raster_source import opened
from geolangbind.data.rasters import open_raster
from geolangbind.data.sample import Box
from geolangbind.errors import DataError, UnitError
from geolangbind.sensors import Unit, get_sensor
from geolangbind.sources.card import View
from geolangbind.sources.readers import OPENERS
from geolangbind.sources.record import Item, Record

_MAX_BYTES = 1 << 29
"""No chip is larger: 512 MiB are 9,000 x 9,000 pixels of RGB in float, or 1,150 x 1,150 of 202 bands."""

_PICTURES = {".jpg": "jpg", ".jpeg": "jpg", ".png": "png"}


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
    return _open_item(record.image, view) if isinstance(record.image, Item) else _open_raster(record, record.image, view)


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


def picture_bytes(opened: Opened, stored: Stored) -> tuple[str, bytes] | None:
    """Return encoding and bytes of a JPEG or PNG file that holds exactly the stored numbers, or None."""
    encoding = None if opened.file is None else _PICTURES.get(opened.file.suffix.lower())
    if opened.file is None or encoding is None:
        return None
    data = opened.file.read_bytes()
    try:
        same = np.array_equal(decode_image(data, encoding), stored.image)
    except DataError:  # a palette, or four channels: readable as a raster, but no member of a shard
        return None
    return (encoding, data) if same else None


def _open_raster(record: Record, path: Path, view: View) -> Opened:
    reader = open_raster(
        path, sensor=view.sensor, bands=view.bands, unit=view.unit, scale=view.scale, offset=view.offset, nodata=view.nodata
    )
    mask = None if record.mask is None else _read_mask(record.mask)
    if mask is not None and mask.shape != (reader.height, reader.width):
        raise DataError(f"{record.mask}: mask of {mask.shape} for an image of {(reader.height, reader.width)}")
    return Opened(
        read=reader.read_stored,
        bands=tuple(band.name for band in reader.bands),
        width=reader.width,
        height=reader.height,
        gsd_m=reader.gsd_m or view.gsd_m,
        mask=mask,
        classes=record.classes,
        captions=record.captions,
        boxes=record.boxes,
        file=path if path.is_file() else None,
    )


def _open_item(item: Item, view: View) -> Opened:
    content = OPENERS[item.reader](item)
    bands = view.bands or tuple(band.name for band in get_sensor(view.sensor).bands)
    if len(bands) != len(content.image):
        raise DataError(f"{len(content.image)} channels, but the card names {len(bands)} bands")
    unit, scale, offset = _unit(view, bands)

    def read(window: PixelWindow) -> Stored:
        column, row, width, height = window
        image = content.image[:, row : row + height, column : column + width]
        floats = image.dtype.kind == "f"
        return Stored(
            image, unit, scale, offset, view.nodata if view.nodata is not None or not floats else float("nan"), content.bounds_wgs84
        )

    return Opened(
        read=read,
        bands=bands,
        width=content.image.shape[2],
        height=content.image.shape[1],
        gsd_m=view.gsd_m,
        mask=content.mask,
        classes=content.classes,
        captions=content.captions,
        boxes=content.boxes,
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


def _read_mask(path: Path) -> NDArray[np.uint8]:
    with opened(path) as dataset:
        if dataset.count != 1 or dataset.dtypes[0] not in ("uint8", "int8", "uint16", "int16", "int32", "uint32", "int64"):
            raise DataError(f"{path}: a mask is one channel of class numbers, this has {dataset.count} of {dataset.dtypes[0]}")
        values = dataset.read(1)
    if values.size and not (values.min() >= 0 and values.max() <= 255):
        raise DataError(f"{path}: class numbers run from {values.min()} to {values.max()}; masks hold 0 to 255")
    return np.asarray(values, dtype=np.uint8)
