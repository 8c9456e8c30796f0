"""What a raster file says about itself, and what its product name says: read once, before any pixel."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import Affine

from geolangbind.errors import DataError

RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".jpg", ".jpeg", ".png")
FOLDER_SUFFIXES = (".tif", ".tiff", ".jp2")

_UM_PER_UNIT = {"": None, "nm": 1e-3, "nanometers": 1e-3, "nanometer": 1e-3, "um": 1.0, "µm": 1.0, "micrometers": 1.0, "micrometer": 1.0}

_PRODUCT_NAMES: tuple[tuple[str, str], ...] = (
    (r"S2[A-D]_MSIL1C_", "sentinel-2-l1c"),
    (r"S2[A-D]_MSIL2A_", "sentinel-2-l2a"),
    (r"S1[A-D]_(IW|EW|S\d)_GRD", "sentinel-1-grd"),
    (r"L[CO]0[89]_L1", "landsat-8-9-l1"),
    (r"L[CO]0[89]_L2", "landsat-8-9-l2"),
    (r"ENMAP.*L2A", "enmap-l2a"),
)
"""Agencies' product names that state the sensor."""

_BASELINE_LEVELS = 4
"""How many folders above a band file may carry the product's name (the .SAFE folder is four above)."""


@dataclass(frozen=True)
class FileBand:
    """One band as the file describes it.

    Attributes:
        index: 1-based position in the file.
        description: band description, or None.
        wavelength_um: centre wavelength from the tags, or None.
        fwhm_um: width from the tags, or None.
        good: False if the file's bad-band list excludes the band.
        scale: as stated beside the pixels; None if not, or if the file's tag is 1, which is what GDAL says where there is none.
        offset: as stated; None if not, or if the file's tag is 0.
        unit: as stated, or None.
        tags: all tags of the band, keys in upper case.
        stated_by: what states scale and offset: "file", "header" (ENVI) or "item" (STAC).
    """

    index: int
    description: str | None
    wavelength_um: float | None
    fwhm_um: float | None
    good: bool
    scale: float | None
    offset: float | None
    unit: str | None
    tags: dict[str, str]
    stated_by: str = "file"


@dataclass(frozen=True)
class Source:
    """One raster file, without its pixels.

    Attributes:
        path: the file.
        driver: GDAL's name of the format.
        dtype: numpy name of the stored type.
        width: columns.
        height: rows.
        transform: pixel to map coordinates; the identity if not georeferenced.
        crs: None if not georeferenced.
        nodata: the file's no-data number, or None.
        has_mask: True if an alpha band or an internal mask tells valid pixels.
        colors: meaning of each band as the format states it; relied on for JPEG and PNG only.
        bands: all bands that carry data (no alpha).
        tags: tags of the file, keys in upper case.
    """

    path: Path
    driver: str
    dtype: str
    width: int
    height: int
    transform: Affine
    crs: CRS | None
    nodata: float | None
    has_mask: bool
    colors: tuple[ColorInterp, ...]
    bands: tuple[FileBand, ...]
    tags: dict[str, str]

    @property
    def is_integer(self) -> bool:
        """Whether the stored numbers are integers."""
        return "int" in self.dtype

    @property
    def is_picture(self) -> bool:
        """Whether the file is an 8-bit JPEG or PNG, whose format itself states what the channels are."""
        return self.driver in ("JPEG", "PNG") and self.dtype == "uint8"


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a raster with rasterio, turning its failures into `DataError`s that name the file.

    Raises:
        DataError: the file is missing, no raster, or cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as dataset:
                yield dataset
    except (RasterioError, OSError) as error:
        reason = str(error.__cause__ or error).removeprefix(f"{path}: ")
        raise DataError(f"{path}: cannot be read as a raster: {reason}") from error


def inspect(path: Path) -> Source:
    """Read everything a raster file says about itself.

    Raises:
        DataError: the file cannot be read, holds complex numbers, or is a palette of classes.
    """
    with opened(path) as dataset:
        if dataset.dtypes[0].startswith("complex"):
            raise DataError(f"{path}: holds complex numbers; convert them to backscatter (sigma0 or gamma0) first")
        if ColorInterp.palette in dataset.colorinterp:
            raise DataError(f"{path}: holds numbers of a colour palette (classes), not an image")
        tags = _upper(dataset.tags())
        alpha = dataset.driver == "PNG" and dataset.colorinterp[-1] is ColorInterp.alpha and dataset.count > 1
        flags = dataset.mask_flag_enums[0]
        indexes = dataset.indexes[:-1] if alpha else dataset.indexes
        return Source(
            path=path,
            driver=dataset.driver,
            dtype=dataset.dtypes[0],
            width=dataset.width,
            height=dataset.height,
            transform=dataset.transform,
            crs=dataset.crs,
            nodata=None if dataset.nodata is None else float(dataset.nodata),
            has_mask=alpha or (MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags),
            colors=tuple(dataset.colorinterp),
            bands=tuple(_file_band(dataset, index, tags) for index in indexes),
            tags=tags,
        )


def _file_band(dataset: Any, index: int, file_tags: dict[str, str]) -> FileBand:  # noqa: ANN401 - rasterio has no types
    tags = {**_upper(dataset.tags(index)), **_upper(dataset.tags(index, ns="IMAGERY"))}
    description = dataset.descriptions[index - 1]
    wavelength_um = _float(tags.get("CENTRAL_WAVELENGTH_UM"))
    fwhm_um = _float(tags.get("FWHM_UM"))
    if wavelength_um is None and (stored := _float(tags.get("WAVELENGTH"))) is not None:
        factor = um_factor(tags.get("WAVELENGTH_UNITS") or file_tags.get("WAVELENGTH_UNITS", ""), dataset.name)
        width = _float(tags.get("FWHM"))
        wavelength_um, fwhm_um = stored * factor, None if width is None else width * factor
    return FileBand(
        index=index,
        description=description.strip() or None if description else None,
        wavelength_um=None if wavelength_um is None else round(wavelength_um, 7),
        fwhm_um=None if fwhm_um is None else round(fwhm_um, 7),
        good=tags.get("BBL", "1").strip() != "0",
        scale=_unless(float(dataset.scales[index - 1]), 1.0),
        offset=_unless(float(dataset.offsets[index - 1]), 0.0),
        unit=dataset.units[index - 1] or None,
        tags=tags,
    )


def um_factor(unit: str, path: Path | str) -> float:
    """Return the length of a wavelength unit in µm.

    Raises:
        DataError: the unit is unknown.
    """
    factor = _UM_PER_UNIT.get(unit.strip().lower())
    if factor is None:
        raise DataError(f"{path}: has wavelengths in '{unit}', which is no known unit; set wavelength_units to nanometers or micrometers")
    return factor


def product_sensor(path: Path) -> str | None:
    """Return the sensor that the product name of a file or of a folder above states, or None."""
    for name in _product_names(path):
        for pattern, sensor in _PRODUCT_NAMES:
            if re.match(pattern, name, flags=re.IGNORECASE):
                return sensor
    return None


def product_platform(path: Path) -> str | None:
    """Return the Sentinel-2 satellite ("S2B") that the product name states, or None."""
    found = (re.match(r"(S2[A-C])_MSIL", name, flags=re.IGNORECASE) for name in _product_names(path))
    return next((match[1].upper() for match in found if match), None)


def product_baseline(path: Path) -> float | None:
    """Return the Sentinel-2 processing baseline (4.0 for `_N0400_`) that the product name states, or None."""
    found = (re.match(r"S2[A-D]_MSIL.*_N(\d\d)(\d\d)_", name, flags=re.IGNORECASE) for name in _product_names(path))
    return next((float(f"{match[1]}.{match[2]}") for match in found if match), None)


def _product_names(path: Path) -> list[str]:
    # the file first: a folder may hold products of several sensors
    resolved = path.resolve()
    return [resolved.name, *(parent.name for parent in list(resolved.parents)[:_BASELINE_LEVELS])]


def _upper(tags: dict[str, str]) -> dict[str, str]:
    return {key.upper(): value for key, value in tags.items()}


def _unless(value: float, nothing: float) -> float | None:
    return None if value == nothing else value


def _float(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return None
