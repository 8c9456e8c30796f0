"""Grids of rasters: the common finest one, windows on it, pixel size on the ground, bounds in degrees."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from rasterio._err import CPLE_BaseError  # what rasterio.warp raises; no public name
from rasterio.crs import CRS
from rasterio.transform import Affine, array_bounds, xy
from rasterio.warp import transform as transform_points
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

from geolangbind.data.raster_source import Source
from geolangbind.errors import DataError, SettingsError

PixelWindow = tuple[int, int, int, int]
"""Column, row, width, height in pixels."""

_WGS84 = CRS.from_epsg(4326)
_SEMI_MAJOR_M = 6378137.0
_ECCENTRICITY_SQUARED = 0.00669437999014


def finest_grid(sources: Sequence[Source], where: Path) -> Source:
    """Return the source with the most pixels, after checking that all cover the same ground.

    Raises:
        DataError: coordinate systems or extents differ (by more than half a pixel of the coarser file), or the coordinate system is
            none that can be brought to degrees.
    """
    finest = max(sources, key=lambda source: source.width * source.height)
    try:
        bounds_wgs84(finest.crs, finest.transform, (0, 0, finest.width, finest.height))
    except CPLE_BaseError as error:
        raise DataError(f"{finest.path}: its coordinate system cannot be converted to degrees ({str(error)[:60]}...); correct it") from None
    bounds = array_bounds(finest.height, finest.width, finest.transform)
    for source in sources:
        if source.crs != finest.crs:
            raise DataError(f"{where}: {source.path.name} is in {source.crs}, {finest.path.name} in {finest.crs}; reproject them to one")
        other = array_bounds(source.height, source.width, source.transform)
        slack = max(abs(source.transform.a), abs(source.transform.e)) / 2
        if any(abs(a - b) > slack for a, b in zip(bounds, other, strict=True)):
            raise DataError(f"{where}: {source.path.name} and {finest.path.name} do not cover the same ground; cut them to one extent")
    return finest


def tile_windows(width: int, height: int, size_px: int, overlap_px: int = 0) -> Iterator[PixelWindow]:
    """Yield windows of `size_px` that cover a raster row by row; the last of a row or column is moved inwards.

    Raises:
        SettingsError: the size is below 1, or the overlap is not below the size.
    """
    if size_px < 1 or not 0 <= overlap_px < size_px:
        raise SettingsError(f"windows of {size_px} px with an overlap of {overlap_px} px are impossible")
    tile_width, tile_height = min(size_px, width), min(size_px, height)
    for row in _starts(height, tile_height, size_px - overlap_px):
        for column in _starts(width, tile_width, size_px - overlap_px):
            yield column, row, tile_width, tile_height


def ground_sampling_distance_m(crs: CRS | None, transform: Affine, width: int, height: int) -> float | None:
    """Return the pixel size in metres at the raster's centre (geometric mean of both sides), or None without coordinates on Earth.

    Degrees, and Mercator's stretched metres, are converted at the latitude of the scene with the curvature radii of WGS84.
    """
    if crs is None:
        return None
    if not crs.is_geographic and not _is_mercator(crs):
        pixel_area = abs(transform.a * transform.e - transform.b * transform.d)
        return math.sqrt(pixel_area) * float(crs.linear_units_factor[1])
    x, y = xy(transform, height / 2, width / 2)
    lons, lats = transform_points(crs, _WGS84, [x, x + transform.a, x + transform.b], [y, y + transform.d, y + transform.e])
    if not all(map(math.isfinite, (*lons, *lats))):
        return None
    squared_sine = math.sin(math.radians(lats[0])) ** 2
    base = 1 - _ECCENTRICITY_SQUARED * squared_sine
    metres_per_lon = math.radians(_SEMI_MAJOR_M / math.sqrt(base)) * math.cos(math.radians(lats[0]))
    metres_per_lat = math.radians(_SEMI_MAJOR_M * (1 - _ECCENTRICITY_SQUARED) / base**1.5)
    sides = [math.hypot((lons[k] - lons[0]) * metres_per_lon, (lats[k] - lats[0]) * metres_per_lat) for k in (1, 2)]
    return math.sqrt(sides[0] * sides[1])


def bounds_wgs84(crs: CRS | None, transform: Affine, window: PixelWindow) -> tuple[float, float, float, float] | None:
    """Return west, south, east, north in degrees of a window, or None without coordinates."""
    if crs is None:
        return None
    column, row, width, height = window
    corner = window_transform(Window(column, row, width, height), transform)
    west, south, east, north = array_bounds(height, width, corner)
    west, south, east, north = transform_bounds(crs, _WGS84, west, south, east, north)
    return float(west), float(south), float(east), float(north)


def _starts(length: int, tile: int, stride: int) -> list[int]:
    starts = list(range(0, max(1, length - tile + 1), stride))
    return starts if starts[-1] + tile >= length else [*starts, length - tile]


def _is_mercator(crs: CRS) -> bool:
    return crs.to_epsg() == 3857 or crs.to_dict().get("proj") in ("merc", "webmerc")
