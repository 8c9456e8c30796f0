"""Landsat Level-1 numbers to reflectance and brightness temperature, with the constants of the scene's `*_MTL.txt`.

Formulas: USGS, "Using the USGS Landsat Level-1 Data Product".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolangbind.errors import DataError, UnitError


@dataclass(frozen=True)
class ThermalConstants:
    """K1 in W/(m² sr µm) and K2 in kelvin of one thermal band."""

    k1: float
    k2_k: float

    def brightness_temperature(self, radiance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return T = K2 / ln(K1 / L + 1) in kelvin (same shape), NaN where the radiance L is not positive."""
        positive = np.where(radiance > 0, radiance, np.nan)
        temperature: NDArray[np.float32] = (self.k2_k / np.log(self.k1 / positive + 1)).astype(np.float32)
        return temperature


def find_mtl(raster: Path) -> Path:
    """Return the `*_MTL.txt` that belongs to a raster or a folder of band files.

    Raises:
        UnitError: there is none, or several and none has the name of the raster.
    """
    folder = raster if raster.is_dir() else raster.parent
    found = sorted(folder.glob("*_MTL.txt"))
    if len(found) > 1:
        found = [path for path in found if raster.name.startswith(path.name.removesuffix("_MTL.txt"))]
    if len(found) != 1:
        raise UnitError(
            f"{raster}: Landsat Level-1 numbers need the scene's *_MTL.txt beside the raster"
            f"{', and none there has the name of this one' if list(folder.glob('*_MTL.txt')) else ''}; "
            "put it there, or give --unit, --scale and --offset"
        )
    return found[0]


def read_mtl(path: Path) -> dict[str, float]:
    """Return the numbers of an MTL file by key; the first of equal keys holds.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    constants: dict[str, float] = {}
    for key, value in re.findall(r"^\s*(\w+)\s*=\s*([-+.\dEe]+)\s*$", text, flags=re.MULTILINE):
        try:
            constants.setdefault(key, float(value))
        except ValueError:
            continue  # a date or an identifier
    return constants


def reflectance_gain(constants: dict[str, float], band: str, path: Path) -> tuple[float, float]:
    """Return scale and offset that turn stored numbers of an optical band into top-of-atmosphere reflectance.

    reflectance = (M * DN + A) / sin(sun elevation)

    Args:
        constants: from `read_mtl`.
        band: "B4".
        path: the MTL file, for messages.

    Raises:
        DataError: the file lacks the constants of the band.
    """
    number = band.removeprefix("B")
    sine = math.sin(math.radians(_constant(constants, "SUN_ELEVATION", path)))
    if sine <= 0:
        raise DataError(f"{path}: SUN_ELEVATION {constants['SUN_ELEVATION']:g} is below the horizon; there is no reflectance at night")
    scale = _constant(constants, f"REFLECTANCE_MULT_BAND_{number}", path)
    return scale / sine, _constant(constants, f"REFLECTANCE_ADD_BAND_{number}", path) / sine


def radiance_gain(constants: dict[str, float], band: str, path: Path) -> tuple[float, float, ThermalConstants]:
    """Return scale and offset to radiance, and the constants from radiance to kelvin, of a thermal band.

    Raises:
        DataError: the file lacks the constants of the band.
    """
    number = band.removeprefix("B")
    return (
        _constant(constants, f"RADIANCE_MULT_BAND_{number}", path),
        _constant(constants, f"RADIANCE_ADD_BAND_{number}", path),
        ThermalConstants(
            k1=_constant(constants, f"K1_CONSTANT_BAND_{number}", path), k2_k=_constant(constants, f"K2_CONSTANT_BAND_{number}", path)
        ),
    )


def _constant(constants: dict[str, float], key: str, path: Path) -> float:
    if key not in constants:
        raise DataError(f"{path}: has no {key}; it is not the MTL file of this scene, or of another Landsat")
    return constants[key]
