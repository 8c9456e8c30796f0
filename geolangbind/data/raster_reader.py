"""A raster whose bands and units are decided, and its pixels: windows in, float32 in canonical units out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geolangbind.data.raster_bands import Layer
from geolangbind.data.raster_checks import check_guarded, check_plausible
from geolangbind.data.raster_grid import PixelWindow, bounds_wgs84, tile_windows
from geolangbind.data.raster_source import opened
from geolangbind.data.raster_units import Calibration
from geolangbind.errors import DataError, NoValidPixelError, UnitError
from geolangbind.sensors import Band, ChannelSet, Sensor, Unit, channel_set
from geolangbind.sensors.units import to_canonical

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Raster:
    """An image with everything that is known about its numbers.

    Attributes:
        image: (C, H, W) float32 in canonical `unit`; 0 where `valid` is False.
        valid: (H, W) bool, False where any band has no data.
        sensor: the sensor's record.
        bands: the record of each channel, with the file's own wavelengths where it has them.
        unit: canonical unit of all channels.
        channels: what the encoder is told about the channels.
        gsd_m: pixel size on the ground in metres, None if the file is not georeferenced.
        bounds_wgs84: west, south, east, north in degrees, or None.
        path: the file or folder.
        notes: what was decided about bands, unit and no-data, and why.
        window: column, row, width, height of this image in the raster's grid.
        blank: whether every valid pixel was stored as zero, which conversion can hide (a backscatter of 0 becomes -60 dB).
    """

    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    sensor: Sensor
    bands: tuple[Band, ...]
    unit: Unit
    channels: ChannelSet
    gsd_m: float | None
    bounds_wgs84: Bounds | None
    path: Path
    notes: tuple[str, ...]
    window: PixelWindow
    blank: bool = False


@dataclass(frozen=True)
class Stored:
    """Pixels as a shard keeps them: physical value = image * scale + offset, in `unit`.

    Attributes:
        image: (C, H, W), the file's own numbers where one scale, offset and no-data number says what all of them mean, else float32 in
            canonical units.
        unit: unit after scale and offset.
        scale: see above.
        offset: see above.
        nodata: number without data (NaN allowed), None where all pixels are valid by definition.
        bounds_wgs84: west, south, east, north in degrees, or None.
        doubt: why the values can hardly be in their unit, or None.
    """

    image: NDArray[Any]
    unit: Unit
    scale: float
    offset: float
    nodata: float | None
    bounds_wgs84: Bounds | None
    doubt: str | None = None


@dataclass(frozen=True)
class RasterReader:
    """A raster whose bands and units are decided; `read` gives pixels.

    Attributes:
        path: the file or folder.
        sensor: the sensor's record.
        layers: where each channel is stored and which band it is.
        calibrations: how each channel's numbers become physical.
        nodata: no-data number of each channel, None where there is none.
        width: columns of the finest grid.
        height: rows of the finest grid.
        transform: pixel to map coordinates of that grid.
        crs: its coordinate system, or None.
        gsd_m: pixel size on the ground in metres, or None.
        notes: what was decided, and why.
    """

    path: Path
    sensor: Sensor
    layers: tuple[Layer, ...]
    calibrations: tuple[Calibration, ...]
    nodata: tuple[float | None, ...]
    width: int
    height: int
    transform: Affine
    crs: CRS | None
    gsd_m: float | None
    notes: tuple[str, ...]

    @property
    def bands(self) -> tuple[Band, ...]:
        """The record of each channel."""
        return tuple(layer.band for layer in self.layers)

    def read(self, window: PixelWindow | None = None) -> Raster:
        """Read the raster, or a window of it, in canonical units.

        Args:
            window: column, row, width, height in the finest grid; all if None.

        Raises:
            DataError: the window lies outside, no pixel is valid, or the file cannot be read.
            UnitError: the values cannot be in their unit.
        """
        area = (0, 0, self.width, self.height) if window is None else window
        image, valid = self._checked(area)
        return self._converted(image.astype(np.float32), valid, area)

    def read_stored(self, window: PixelWindow | None = None, *, tolerant: bool = False) -> Stored:
        """Read the raster, or a window of it, for a shard; checked as `read` checks it, and with its failures.

        Args:
            window: see `read`.
            tolerant: values that can hardly be in their unit are told in `Stored.doubt`, not refused.
        """
        area = (0, 0, self.width, self.height) if window is None else window
        image, valid = self._checked(area)
        doubts: list[str] | None = [] if tolerant else None
        raster = self._converted(image.astype(np.float32), valid.copy(), area, doubts)
        doubt = doubts[0] if doubts else None
        if not self._one_rule or (self.nodata[0] is not None and not np.isfinite(image).all()):
            raster.image[:, ~raster.valid] = np.nan
            return Stored(raster.image, raster.unit, 1.0, 0.0, math.nan, raster.bounds_wgs84, doubt)
        rule, nodata = self.calibrations[0], self.nodata[0]
        if nodata is None and image.dtype.kind == "f":
            nodata = math.nan
        return Stored(image, rule.unit, rule.scale, rule.offset, nodata, raster.bounds_wgs84, doubt)

    @property
    def _one_rule(self) -> bool:
        """Whether one scale, offset and no-data number says what the stored numbers of all channels mean."""
        alike = len(set(self.calibrations)) == 1 and len(set(self.nodata)) == 1 and self.calibrations[0].thermal is None
        return alike and not self._resampled and not any(layer.source.has_mask for layer in self.layers)

    @property
    def _resampled(self) -> bool:
        return any((layer.source.width, layer.source.height) != (self.width, self.height) for layer in self.layers)

    def _checked(self, area: PixelWindow) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        self._check_window(area)
        image, valid = self._stored(area)
        if not valid.any():
            place = "" if area == (0, 0, self.width, self.height) else f" in window {area}"
            raise NoValidPixelError(f"{self.path}: has no valid pixel{place}{self._empty_bands(image)}")
        return image, valid

    def windows(self, size_px: int, overlap_px: int = 0) -> Iterator[Raster]:
        """Yield square windows row by row, reading each when asked for, so that memory holds one window.

        The last window of a row or column is moved inwards to keep its size; a raster smaller than `size_px` is one window. Windows
        without any valid pixel are left out.

        Raises:
            DataError: no window has a valid pixel, or the file cannot be read.
            SettingsError: size or overlap are impossible.
            UnitError: the values cannot be in their unit.
        """
        found = False
        for area in tile_windows(self.width, self.height, size_px, overlap_px):
            image, valid = self._stored(area)
            if valid.any():
                found = True
                yield self._converted(image.astype(np.float32), valid, area)
        if not found:
            raise NoValidPixelError(f"{self.path}: has no valid pixel")

    def _converted(
        self, image: NDArray[np.float32], valid: NDArray[np.bool_], area: PixelWindow, doubts: list[str] | None = None
    ) -> Raster:
        """Turn stored numbers (C, H, W), changed in place, into a `Raster`; implausible values are refused, or added to `doubts`."""
        blank = not any(channel[valid].any() for channel in image)
        for channel, calibration in zip(image, self.calibrations, strict=True):
            check_guarded(channel[valid], calibration, self.path)
            channel[...] = calibration.apply(channel)
        valid &= np.isfinite(image).all(axis=0)
        if not valid.any():
            raise NoValidPixelError(f"{self.path}: has no valid pixel in window {area} after conversion to {self.calibrations[0].unit}")
        image[:, ~valid] = 0
        try:
            check_plausible(image[:, valid], self.calibrations[0].unit, self.path)
        except UnitError as error:
            if doubts is None:
                raise
            doubts.append(str(error))
        canonical, unit = to_canonical(image, self.calibrations[0].unit)
        canonical[:, ~valid] = 0
        return Raster(
            image=canonical,
            valid=valid,
            sensor=self.sensor,
            bands=self.bands,
            unit=unit,
            channels=channel_set(self.sensor, self.bands, unit),
            gsd_m=self.gsd_m,
            bounds_wgs84=bounds_wgs84(self.crs, self.transform, area),
            path=self.path,
            notes=self.notes,
            window=area,
            blank=blank,
        )

    def _stored(self, area: PixelWindow) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the numbers (C, H, W) of a window in a type that holds those of all files, and which pixels (H, W) are valid in all."""
        column, row, width, height = area
        dtypes = [layer.source.dtype for layer in self.layers] + ["float32"] * self._resampled
        image = np.empty((len(self.layers), height, width), np.result_type(*dtypes))
        valid = np.ones((height, width), bool)
        order = sorted(range(len(self.layers)), key=lambda number: str(self.layers[number].source.path))
        for path, group in groupby(order, key=lambda number: self.layers[number].source.path):
            numbers = list(group)
            indexes = [self.layers[number].stored.index for number in numbers]
            with opened(path) as dataset, self._on_grid(dataset, self.nodata[numbers[0]]) as grid:
                pixels = grid.read(indexes, window=Window(column, row, width, height))
                if self.layers[numbers[0]].source.has_mask:
                    valid &= grid.dataset_mask(window=Window(column, row, width, height)) > 0
            for number, channel in zip(numbers, pixels, strict=True):
                nodata = self.nodata[number]
                valid &= np.isfinite(channel) if channel.dtype.kind == "f" else True
                if nodata is not None:
                    valid &= channel != nodata
                image[number] = channel
        return image, valid

    def _on_grid(self, dataset: Any, nodata: float | None) -> Any:  # noqa: ANN401 - rasterio has no types
        """Return the dataset itself, or a bilinear view of it on the finest grid."""
        if (dataset.width, dataset.height) == (self.width, self.height):
            return dataset
        return WarpedVRT(
            dataset, crs=self.crs, transform=self.transform, width=self.width, height=self.height, resampling=Resampling.bilinear,
            src_nodata=nodata, nodata=nodata, dtype="float32",
        )  # fmt: skip

    def _check_window(self, area: PixelWindow) -> None:
        column, row, width, height = area
        inside = column >= 0 and row >= 0 and column + width <= self.width and row + height <= self.height
        if not inside or width < 1 or height < 1:
            raise DataError(
                f"{self.path}: window {area} (column, row, width, height) does not lie in its {self.width} x {self.height} pixels"
            )

    def _empty_bands(self, image: NDArray[Any]) -> str:
        empty = [
            layer.band.name
            for layer, channel, nodata in zip(self.layers, image, self.nodata, strict=True)
            if not np.isfinite(channel).any() or (nodata is not None and bool((channel == nodata).all()))
        ]
        if not empty:
            return ""
        way_out = "; leave them out with --bands" if len(empty) < len(self.layers) else ""
        return f": {','.join(empty)} hold no data at all{way_out}"
