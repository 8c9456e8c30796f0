"""Whether values can be what they are said to be: most wrong units show in the range of the numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolangbind.data.raster_units import Calibration
from geolangbind.errors import UnitError
from geolangbind.sensors.units import PLAUSIBLE_RANGE, Unit

_CHECKED_VALUES = 1_000_000
"""At most about this many values are looked at; the middle 96 % do not hang on single pixels."""
_DARKEST = -0.05
"""Noise and atmospheric correction leave dark water slightly below zero, but no scene has two percent of its pixels below this."""
_HOT_CELSIUS = 150.0
"""No scene is all hotter than this, but every scene in kelvin is."""


def check_plausible(values: NDArray[np.float32], unit: Unit, where: Path) -> None:
    """Refuse values whose middle 96 % cannot be in `unit`.

    Args:
        values: valid values only, any shape, before conversion to the canonical unit.
        unit: their supposed unit.
        where: for the message.

    Raises:
        UnitError: names the range found, the range possible and the likely mistake.
    """
    low, high = (float(q) for q in np.percentile(_thinned(values), (2, 98)))
    limits = PLAUSIBLE_RANGE[unit]
    looks_linear = unit in (Unit.SIGMA0_DB, Unit.GAMMA0_DB) and low >= 0 and high > low
    looks_shifted = unit is Unit.REFLECTANCE and low < _DARKEST
    looks_kelvin = unit is Unit.CELSIUS and low > _HOT_CELSIUS
    if limits[0] <= low and high <= limits[1] and not (looks_linear or looks_kelvin or looks_shifted):
        return
    if looks_shifted and low >= limits[0]:
        raise UnitError(
            f"{where}: the darkest pixels have a reflectance of {low:.4g}; the offset may have been applied before, or the scale belongs "
            "to another product: say --scale and --offset (reflectance = stored * scale + offset; --offset 0 if it is in the numbers)"
        )
    raise UnitError(
        f"{where}: 96 % of the values lie in {low:.4g} to {high:.4g}, but {unit} lies in {limits[0]:g} to {limits[1]:g}"
        f"{' and is mostly negative' if looks_linear else ''}; {_likely_mistake(unit)}"
    )


def check_guarded(stored: NDArray[np.float32], calibration: Calibration, where: Path) -> None:
    """Refuse to scale floats that may be reflectance already: only the user knows.

    Raises:
        UnitError: the stored floats lie in the range of the unit before any scaling.
    """
    if not calibration.guarded or stored.size == 0 or calibration.unit is not Unit.REFLECTANCE:
        return
    high = float(np.percentile(_thinned(stored), 98))
    if high <= PLAUSIBLE_RANGE[Unit.REFLECTANCE][1]:
        raise UnitError(
            f"{where}: holds floats up to {high:.4g} that may be reflectance already; say --scale 1 --offset 0 if they are, "
            f"or --scale {calibration.scale:g} --offset {calibration.offset:g} if they are not"
        )


def _thinned(values: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = values.reshape(-1)
    return flat[:: max(1, flat.size // _CHECKED_VALUES)]


def _likely_mistake(unit: Unit) -> str:
    match unit:
        case Unit.REFLECTANCE:
            return "the numbers are probably scaled differently; say --scale and --offset (reflectance = stored * scale + offset)"
        case Unit.SIGMA0_DB | Unit.GAMMA0_DB:
            linear = unit.replace("_db", "_linear")
            return f"they may be linear power (--unit {linear}), amplitudes or scaled integers (--scale, --offset)"
        case Unit.SIGMA0_LINEAR | Unit.GAMMA0_LINEAR | Unit.SIGMA0_AMPLITUDE | Unit.GAMMA0_AMPLITUDE:
            return f"they may be decibel (--unit {unit.partition('_')[0]}_db) or scaled integers (--scale, --offset)"
        case Unit.BRIGHTNESS_TEMPERATURE_K | Unit.SURFACE_TEMPERATURE_K:
            return "they may be degrees Celsius (--unit celsius) or scaled integers (--scale, --offset)"
        case Unit.CELSIUS:
            return "they may be kelvin (--unit brightness_temperature_k)"
        case Unit.ELEVATION_M | Unit.HEIGHT_M:
            return "they may hold an unmarked no-data number (--nodata) or another unit (--scale 0.3048 --offset 0 for feet)"
        case _:
            return "the numbers are probably not 8-bit; say --unit, --scale and --offset"
