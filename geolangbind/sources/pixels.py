"""From a record to pixels: one way to open rasters and the items of readers, whole or by windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from geolangbind.captions import Caption
from geolangbind.data.decode import decode_image
from geolangbind.data.raster_grid import PixelWindow
from geolangbind.data.raster_reader import RasterReader, Stored
from geolangbind.data.raster_source import opened
from geolangbind.data.rasters import open_raster
from geolangbind.data.sample import Box, Encoding
from geolangbind.data.stac import read_item
from geolangbind.errors import DataError, UnitError
from geolangbind.sensors import Unit, get_sensor
from geolangbind.sources.card import View
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
    reader = open_raster(
        path, sensor=view.sensor, bands=view.bands, unit=view.unit, scale=view.scale, offset=view.offset, nodata=view.nodata
    )
    mask = None if record.mask is None else read_mask(record.mask, reader)
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
        datetime=read_item(path).datetime if path.suffix in (".json", ".geojson") else None,
        file=path if path.is_file() else None,
    )


def _open_item(record: Record, item: Item, view: View) -> Opened:
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


def read_mask(path: Path, reader: RasterReader) -> NDArray[np.uint8]:
    """Return the class numbers (H, W) of a mask on the grid of an image; one in another grid is brought there by its nearest pixels.

    Raises:
        DataError: it is no mask, or not of the image's size without coordinates that say where it lies.
    """
    with opened(path) as dataset:
        if dataset.count != 1 or np.dtype(dataset.dtypes[0]).kind not in "ui":
            raise DataError(f"{path}: a mask is one channel of class numbers, this has {dataset.count} of {dataset.dtypes[0]}")
        same_size = (dataset.width, dataset.height) == (reader.width, reader.height)
        placed = dataset.crs is not None and reader.crs is not None
        if not same_size and not placed:
            raise DataError(f"{path}: a mask of {dataset.width} x {dataset.height} for an image of {reader.width} x {reader.height} pixels")
        if same_size and not (placed and (dataset.crs != reader.crs or not dataset.transform.almost_equals(reader.transform, 1e-3))):
            values = dataset.read(1)
        else:
            options = {"crs": reader.crs, "transform": reader.transform, "width": reader.width, "height": reader.height}
            with WarpedVRT(dataset, resampling=Resampling.nearest, **options) as grid:
                values = grid.read(1)
    if values.size and not (values.min() >= 0 and values.max() <= 255):
        raise DataError(f"{path}: class numbers run from {values.min()} to {values.max()}; masks hold 0 to 255")
    return np.asarray(values, dtype=np.uint8)
