"""What the encoder is told about each channel: wavelength, physical kind, radar frequency. Importable without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from geolangbind.errors import SensorError, UnitError
from geolangbind.sensors.records import Band, Sensor
from geolangbind.sensors.units import Unit

RADAR_BANDS: dict[str, tuple[float, float]] = {
    "p": (0.23, 1.0),
    "l": (1.0, 2.0),
    "s": (2.0, 4.0),
    "c": (4.0, 8.0),
    "x": (8.0, 12.0),
    "ku": (12.0, 18.0),
    "ka": (27.0, 40.0),
}
"""IEEE 521 radar band letters with their limits in GHz."""

RGB_UM = (0.665, 0.560, 0.490)
"""Red, green and blue in µm as the published models see them (arXiv 2503.06312 and its code: Sentinel-2 B4, B3, B2)."""

OPTICAL_KINDS = ("reflectance_toa", "reflectance_surface", "display", "brightness_temperature", "surface_temperature")
_POLARIZATIONS = ("vv", "vh", "hh", "hv")

_REFLECTED_BELOW_UM, _EMITTED_ABOVE_UM = 5.0, 3.0

KINDS: tuple[str, ...] = (
    *OPTICAL_KINDS,
    "elevation",
    "height",
    *(f"{family}_{pol}_{band}" for family in ("sigma0", "gamma0") for band in RADAR_BANDS for pol in _POLARIZATIONS),
)
"""Every physical kind a channel can have; the rows of the encoder's kind table follow this order (append, never reorder)."""


@dataclass(frozen=True)
class ChannelSet:
    """The channels of one image, in the order of the image. Hashable: kernels are cached under it.

    Attributes:
        wavelengths_um: centre wavelength per channel in µm, 0 where none applies (radar, elevation).
        kinds: physical kind per channel, from `KINDS`; None for encoders that know wavelengths only (imported weights).
        frequencies_ghz: radar frequency per channel in GHz, 0 where none applies.
    """

    wavelengths_um: tuple[float, ...]
    kinds: tuple[str, ...] | None = None
    frequencies_ghz: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        count = len(self.wavelengths_um)
        if count == 0:
            raise SensorError("a channel set needs at least one channel")
        for name in ("kinds", "frequencies_ghz"):
            value = getattr(self, name)
            if value is not None and len(value) != count:
                raise SensorError(f"{count} wavelengths but {len(value)} {name}")
        if not all(map(isfinite, self.wavelengths_um)):
            raise SensorError(f"wavelengths must be finite numbers in µm, 0 where none applies; got {self.wavelengths_um}")
        unknown = sorted(set(self.kinds or ()) - set(KINDS))
        if unknown:
            raise SensorError(f"unknown channel kinds {unknown}; kinds are {', '.join(KINDS)}")

    def __len__(self) -> int:
        return len(self.wavelengths_um)

    def subset(self, indices: Sequence[int]) -> ChannelSet:
        """The channels at `indices`, in that order."""
        return ChannelSet(
            tuple(self.wavelengths_um[i] for i in indices),
            None if self.kinds is None else tuple(self.kinds[i] for i in indices),
            None if self.frequencies_ghz is None else tuple(self.frequencies_ghz[i] for i in indices),
        )


def radar_band(frequency_ghz: float) -> str:
    """Return the IEEE letter (lower case) of a radar frequency in GHz.

    Raises:
        SensorError: no letter band holds the frequency.
    """
    for letter, (low, high) in RADAR_BANDS.items():
        if low <= frequency_ghz < high:
            return letter
    raise SensorError(f"{frequency_ghz} GHz lies in no radar band; bands are {RADAR_BANDS}")


def kind_of(band: Band, unit: Unit, product_level: str) -> str:
    """Return the physical kind of `band` when its values are in canonical `unit`.

    Args:
        band: the band.
        unit: a canonical unit, see `units.to_canonical`.
        product_level: "toa" or "surface", tells the two reflectances apart.

    Raises:
        SensorError: the band lacks what the unit needs (radar without polarisation, reflectance without wavelength).
        UnitError: the unit is not canonical.
    """
    match unit:
        case Unit.REFLECTANCE:
            if product_level not in ("toa", "surface"):
                raise UnitError(f"reflectance of band {band.name} needs a product level (toa or surface), got '{product_level}'")
            return f"reflectance_{product_level}"
        case Unit.SIGMA0_DB | Unit.GAMMA0_DB:
            if band.frequency_ghz is None or band.polarization is None:
                raise SensorError(f"band {band.name} has no radar frequency or polarisation, but its unit is {unit}")
            return f"{unit.removesuffix('_db')}_{band.polarization.lower()}_{radar_band(band.frequency_ghz)}"
        case Unit.DISPLAY_U8:
            return "display"
        case Unit.BRIGHTNESS_TEMPERATURE_K | Unit.SURFACE_TEMPERATURE_K:
            return unit.removesuffix("_k")
        case Unit.ELEVATION_M | Unit.HEIGHT_M:
            return unit.removesuffix("_m")
        case _:
            raise UnitError(f"{unit} is not a unit models are taught; convert it first")


def _possible(kind: str, wavelength_um: float) -> bool:
    """Sunlight is reflected below 5 µm, heat is emitted above 3 µm; pictures are made of either."""
    if kind.startswith("reflectance"):
        return wavelength_um < _REFLECTED_BELOW_UM
    return kind == "display" or wavelength_um > _EMITTED_ABOVE_UM


def modality_of(sensor: Sensor, unit: Unit) -> str:
    """Return the modality of pixels of `sensor` in canonical `unit`: one product may hold reflectance and temperature.

    Returns:
        "ir" for temperatures, "rgb" for display images of multispectral sensors, else the sensor's own modality.
    """
    if unit in (Unit.BRIGHTNESS_TEMPERATURE_K, Unit.SURFACE_TEMPERATURE_K):
        return "ir"
    return "rgb" if unit is Unit.DISPLAY_U8 and sensor.modality == "msi" else sensor.modality


def channel_set(sensor: Sensor, bands: Sequence[Band], unit: Unit) -> ChannelSet:
    """Describe `bands` of `sensor`, with values in canonical `unit`, to the encoder.

    Raises:
        SensorError: an optical or thermal band has no wavelength; or see `kind_of`.
    """
    kinds = tuple(kind_of(band, unit, sensor.product_level) for band in bands)
    for band, kind in zip(bands, kinds, strict=True):
        if kind == "display" and sensor.modality == "sar":
            continue  # a stretched radar picture: its kind is all that the encoder is told
        if kind in OPTICAL_KINDS and band.center_wavelength_um is None:
            raise SensorError(f"band {band.name} of {sensor.name} has no centre wavelength; add center_wavelength_um to its record")
        if kind in OPTICAL_KINDS and not _possible(kind, band.center_wavelength_um or 0.0):
            raise UnitError(
                f"band {band.name} of {sensor.name} lies at {band.center_wavelength_um:g} µm, where values are not {unit}; "
                f"it holds {sensor.unit_of(band)}. Read bands of different units apart"
            )
    return ChannelSet(
        wavelengths_um=tuple(band.center_wavelength_um or 0.0 for band in bands),
        kinds=kinds,
        frequencies_ghz=tuple(band.frequency_ghz or 0.0 for band in bands),
    )
