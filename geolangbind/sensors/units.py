"""Units of pixel values, the physical kind of a channel, and the conversions between units.

Importable without torch. A *unit* says what a stored number means; a *kind* is what the encoder is told a channel is:
unit family plus, for radar, band letter and polarisation. Conversions that need more than the number itself (incidence angle,
emissivity) are not offered: sigma0 never becomes gamma0, brightness temperature never becomes surface temperature.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from geolangbind.errors import UnitError


class Unit(StrEnum):
    """What a pixel value means. Values as in shards, sensor records and on the command line."""

    REFLECTANCE = "reflectance"
    DN = "dn"
    DISPLAY_U8 = "display_u8"
    SIGMA0_DB = "sigma0_db"
    SIGMA0_LINEAR = "sigma0_linear"
    SIGMA0_AMPLITUDE = "sigma0_amplitude"
    GAMMA0_DB = "gamma0_db"
    GAMMA0_LINEAR = "gamma0_linear"
    GAMMA0_AMPLITUDE = "gamma0_amplitude"
    BRIGHTNESS_TEMPERATURE_K = "brightness_temperature_k"
    SURFACE_TEMPERATURE_K = "surface_temperature_k"
    CELSIUS = "celsius"
    ELEVATION_M = "elevation_m"
    HEIGHT_M = "height_m"

    @classmethod
    def parse(cls, text: str) -> Unit:
        """Return the unit named `text`.

        Raises:
            UnitError: `text` is no unit; the message lists them.
        """
        try:
            return cls(text)
        except ValueError:
            raise UnitError(f"unknown unit '{text}'; units are {', '.join(cls)}") from None


_MIN_BACKSCATTER = 1e-6
"""Linear backscatter below -60 dB is under every sensor's noise floor; clipped before the logarithm."""


def to_canonical(values: NDArray[np.float32], unit: Unit) -> tuple[NDArray[np.float32], Unit]:
    """Bring `values` to the one unit per family that models are taught.

    Args:
        values: float32, any shape, in `unit`.
        unit: the unit of `values`. `dn` must have been scaled before.

    Returns:
        The float32 values (same shape) and their unit: dB for radar, kelvin for temperature, [0, 1] for `display_u8`.

    Raises:
        UnitError: `unit` is `dn`, which has no meaning before scale and offset are applied.
    """
    match unit:
        case Unit.DN:
            raise UnitError("digital numbers have no physical meaning; give their scale, offset and unit (--scale, --offset, --unit)")
        case Unit.SIGMA0_LINEAR | Unit.GAMMA0_LINEAR:
            decibel = 10 * np.log10(np.maximum(values, np.float32(_MIN_BACKSCATTER)))
            return decibel.astype(np.float32), Unit.SIGMA0_DB if unit is Unit.SIGMA0_LINEAR else Unit.GAMMA0_DB
        case Unit.SIGMA0_AMPLITUDE | Unit.GAMMA0_AMPLITUDE:  # the square root of power, as radar products store it in 16 bits
            decibel = 20 * np.log10(np.maximum(values, np.float32(_MIN_BACKSCATTER**0.5)))
            return decibel.astype(np.float32), Unit.SIGMA0_DB if unit is Unit.SIGMA0_AMPLITUDE else Unit.GAMMA0_DB
        case Unit.CELSIUS:
            return values + np.float32(273.15), Unit.BRIGHTNESS_TEMPERATURE_K
        case Unit.DISPLAY_U8:
            return values / np.float32(255), unit
        case _:
            return values, unit


PLAUSIBLE_RANGE: dict[Unit, tuple[float, float]] = {
    Unit.REFLECTANCE: (-0.2, 2.5),
    Unit.DISPLAY_U8: (0, 255),
    Unit.SIGMA0_DB: (-60, 40),
    Unit.GAMMA0_DB: (-60, 40),
    Unit.SIGMA0_LINEAR: (0, 1e4),
    Unit.GAMMA0_LINEAR: (0, 1e4),
    Unit.SIGMA0_AMPLITUDE: (0, 1e2),
    Unit.GAMMA0_AMPLITUDE: (0, 1e2),
    Unit.BRIGHTNESS_TEMPERATURE_K: (150, 1300),
    Unit.SURFACE_TEMPERATURE_K: (150, 1300),
    Unit.CELSIUS: (-120, 1000),
    Unit.ELEVATION_M: (-500, 9000),
    Unit.HEIGHT_M: (-50, 900),
}
"""Where the middle 96 % of a scene's values lie on Earth, per unit. Outside it the unit is almost surely another one."""
