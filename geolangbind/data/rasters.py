"""Rasters in: GeoTIFF, ENVI, JPEG and PNG files, folders of GeoTIFFs and STAC items, as float32 images in canonical units with a mask.

What the channels are and how their numbers become physical is decided once, by `open_raster`, before any pixel is read; each decision
is kept as a note. What neither the file nor the sensor's record says, the user must say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path

from geolangbind.data.raster_bands import Layer, layers_of_file, layers_of_folder, raster_files
from geolangbind.data.raster_grid import PixelWindow, finest_grid, ground_sampling_distance_m
from geolangbind.data.raster_item import inspect_any, layers_of_item
from geolangbind.data.raster_reader import Raster, RasterReader
from geolangbind.data.raster_source import Source, product_platform, product_sensor
from geolangbind.data.raster_units import Said, calibrate, refuse_mixed_units
from geolangbind.data.stac import ITEM_SUFFIXES, Item, read_item
from geolangbind.errors import DataError, SensorError
from geolangbind.sensors import Sensor, Unit, get_sensor

__all__ = ["PixelWindow", "Raster", "RasterReader", "iter_windows", "open_raster", "read_raster"]


def open_raster(
    path: Path | str,
    *,
    sensor: str | Path | None = None,
    bands: Sequence[str] | None = None,
    unit: str | Unit | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
    platform: str | None = None,
) -> RasterReader:
    """Decide what a raster holds, without reading pixels.

    Args:
        path: GeoTIFF, JPEG, PNG or ENVI file (or its header), a folder of single-band GeoTIFFs whose names end in the band, or the JSON
            file of a STAC item.
        sensor: name, alias or YAML file; not needed where the product name, a STAC item or a colour picture's format states it.
        bands: a selection where the raster names its bands, else the order of its channels.
        unit: unit of the values after scale and offset.
        scale: unit = stored * scale + offset; goes before the file's tags and the sensor's rule.
        offset: see `scale`. Note that it applies after the scale: Sentinel-2's -1000 DN is -0.1.
        nodata: stored number without data; goes before the file's own.
        platform: satellite whose wavelengths to use ("S2B"); else read from the product name, else the sensor's default.

    Raises:
        DataError: the raster cannot be read or its files do not fit together.
        SensorError: sensor or bands are unknown, or the file contradicts them.
        UnitError: unit, scale or offset are unknown or impossible.
    """
    where = Path(path)
    if not where.exists():
        raise DataError(f"{where}: no such file or folder")
    record, layers, notes = _layers(where, sensor, platform, bands)
    said = Said(None if unit is None else Unit.parse(str(unit)), scale, offset)
    decided = [calibrate(layer, record, said, where) for layer in layers]
    refuse_mixed_units(layers, [calibration for calibration, _ in decided], where)
    grid = finest_grid([layer.source for layer in layers], where)
    numbers = tuple(_nodata(layer, record, nodata, calibration.unit) for layer, (calibration, _) in zip(layers, decided, strict=True))
    marked = sorted({number for number in numbers if number is not None})
    if marked:
        notes += (f"no data where stored = {', '.join(f'{number:g}' for number in marked)}",)
    if len({(layer.source.width, layer.source.height) for layer in layers}) > 1:
        notes += (f"coarser bands resampled to {grid.width} x {grid.height} pixels (bilinear)",)
    return RasterReader(
        path=where,
        sensor=record,
        layers=layers,
        calibrations=tuple(calibration for calibration, _ in decided),
        nodata=numbers,
        width=grid.width,
        height=grid.height,
        transform=grid.transform,
        crs=grid.crs,
        gsd_m=ground_sampling_distance_m(grid.crs, grid.transform, grid.width, grid.height),
        notes=(*notes, *dict.fromkeys(note for _, note in decided)),
    )


def read_raster(
    path: Path | str,
    *,
    sensor: str | Path | None = None,
    bands: Sequence[str] | None = None,
    unit: str | Unit | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
    platform: str | None = None,
    window: PixelWindow | None = None,
) -> Raster:
    """Read a raster, or a window of it, in canonical units; see `open_raster` for the arguments and failures.

    Args:
        path: file or folder.
        sensor: see `open_raster`.
        bands: see `open_raster`.
        unit: see `open_raster`.
        scale: see `open_raster`.
        offset: see `open_raster`.
        nodata: see `open_raster`.
        platform: see `open_raster`.
        window: column, row, width, height in pixels; all if None.
    """
    reader = open_raster(path, sensor=sensor, bands=bands, unit=unit, scale=scale, offset=offset, nodata=nodata, platform=platform)
    return reader.read(window)


def iter_windows(reader: RasterReader, size_px: int, overlap_px: int = 0) -> Iterator[Raster]:
    """Yield the windows of an opened raster lazily; see `RasterReader.windows`."""
    return reader.windows(size_px, overlap_px)


def _layers(
    where: Path, said: str | Path | None, platform: str | None, bands: Sequence[str] | None
) -> tuple[Sensor, tuple[Layer, ...], tuple[str, ...]]:
    """Return the sensor, the channels and notes on both."""
    if where.is_dir():
        record = _sensor(where, None, said, platform)
        return record, *layers_of_folder(where, record, bands)
    if where.suffix.lower() in ITEM_SUFFIXES:
        item = read_item(where)
        record = _item_sensor(item, said, platform)
        return record, *layers_of_item(item, record, bands)
    source = inspect_any(where)
    record = _sensor(where, source, said, platform)
    return record, *layers_of_file(source, record, bands)


def _item_sensor(item: Item, said: str | Path | None, platform: str | None) -> Sensor:
    if said is None and len(item.sensors) != 1:
        several = f" (what it states fits {' and '.join(item.sensors)})" if item.sensors else ""
        raise SensorError(f"{item.path}: does not say which sensor it is from{several}; say --sensor, `geolangbind sensors` lists them")
    name = said or item.sensors[0]
    record = get_sensor(name, platform)
    known = platform is None and item.platform in record.platforms
    return get_sensor(name, item.platform) if known else record


def _sensor(where: Path, source: Source | None, said: str | Path | None, platform: str | None) -> Sensor:
    stated = {product_sensor(where)} if source is not None else {product_sensor(path) for path in raster_files(where)}
    stated.discard(None)
    if said is None:
        if source is not None and source.is_picture and len(source.bands) == 3:
            return get_sensor("aerial-rgb")
        if len(stated) != 1:
            several = f" (its files are from {' and '.join(sorted(str(name) for name in stated))})" if stated else ""
            raise SensorError(f"{where}: does not say which sensor it is from{several}; say --sensor, `geolangbind sensors` lists them")
        said = str(stated.pop())
    record = get_sensor(said, platform)
    if platform is None and record.platforms:
        named = product_platform(where) or (None if source is not None else _folder_platform(where))
        if named in record.platforms:
            record = get_sensor(said, named)
    return record


def _folder_platform(folder: Path) -> str | None:
    named = {product_platform(path) for path in raster_files(folder)} - {None}
    return named.pop() if len(named) == 1 else None


def _nodata(layer: Layer, sensor: Sensor, said: float | None, unit: Unit) -> float | None:
    if said is not None:
        return said
    if layer.source.nodata is not None:
        # NaN marks no data in float files; not-finite values are never valid anyway
        return None if isnan(layer.source.nodata) else layer.source.nodata
    # the product's number holds for the product's numbers: in an 8-bit rendering of it, 0 is black
    as_delivered = layer.source.is_integer and unit is sensor.unit_of(layer.band)
    return sensor.nodata if as_delivered else None
