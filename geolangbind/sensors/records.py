"""Sensor and band records: one YAML file per sensor, read into frozen dataclasses. Importable without torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum

from geolangbind.errors import SensorError
from geolangbind.sensors.units import Unit

MODALITIES = ("rgb", "sar", "msi", "hsi", "ir", "dem")
CARRIERS = ("satellite", "aerial")
PRODUCT_LEVELS = ("toa", "surface", "none")


class ScaleRule(StrEnum):
    """How the stored numbers of a product become physical ones."""

    FIXED = "fixed"
    """Scale and offset are the same in every file and stand in the record."""
    SENTINEL2_BASELINE = "sentinel2_baseline"
    """Fixed scale; the offset depends on the processing baseline of the product."""
    LANDSAT_MTL = "landsat_mtl"
    """Gains, sun elevation and thermal constants stand in the product's `*_MTL.txt`."""
    SCALE_VARIES = "scale_varies"
    """The unit is known, but every order has its own calibration: the user says scale and offset."""
    UNIT_VARIES = "unit_varies"
    """The same bands come in several units (dB or linear, kelvin or Celsius): the user says the unit."""


@dataclass(frozen=True)
class Band:
    """One band of a sensor.

    Attributes:
        name: canonical name, as in the product ("B8A", "VV").
        aliases: other names the same band goes by in files.
        common_name: STAC `eo:common_name`, if it has one.
        center_wavelength_um: centre wavelength in µm; None for radar and elevation.
        fwhm_um: full width at half maximum in µm, if known.
        gsd_m: native ground sampling distance in metres; None where it depends on the flight.
        frequency_ghz: radar centre frequency in GHz.
        polarization: radar polarisation, transmit then receive ("VH").
        good: False for bands on the product's bad-band list.
        unit: overrides the sensor's unit (a thermal band in a reflectance product).
        scale: overrides the sensor's scale.
        offset: overrides the sensor's offset.
    """

    name: str
    aliases: tuple[str, ...] = ()
    common_name: str | None = None
    center_wavelength_um: float | None = None
    fwhm_um: float | None = None
    gsd_m: float | None = None
    frequency_ghz: float | None = None
    polarization: str | None = None
    good: bool = True
    unit: Unit | None = None
    scale: float | None = None
    offset: float | None = None


@dataclass(frozen=True)
class Sensor:
    """One sensor product: what its files hold and how the stored numbers become physical ones.

    Attributes:
        name: registry key ("sentinel-2-l2a").
        title: one line for people.
        modality: rgb, sar, msi, hsi, ir or dem.
        product_level: "toa", "surface" or "none".
        unit: unit of the values after scale and offset.
        scale: unit = stored * scale + offset; None where files differ and the user must say.
        offset: see `scale`; None where it must be read or said (Sentinel-2 baselines).
        bands: in the order of the product.
        sources: where the numbers come from.
        aliases: other names of the sensor.
        rule: how scale and offset are found, see `ScaleRule`.
        platform: the satellite whose centre wavelengths `bands` hold, where satellites differ.
        platforms: the satellites that can be asked for.
        nodata: stored number of pixels without data, for integer files that do not say.
        carrier: "satellite" or "aerial", so that captions may call an image so; None where the record stands for both.
    """

    name: str
    title: str
    modality: str
    product_level: str
    unit: Unit
    scale: float | None
    offset: float | None
    bands: tuple[Band, ...]
    sources: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    rule: ScaleRule = ScaleRule.FIXED
    platform: str | None = None
    platforms: tuple[str, ...] = ()
    nodata: float | None = None
    carrier: str | None = None

    @property
    def good_bands(self) -> tuple[Band, ...]:
        """The bands that are not on the bad-band list (202 of EnMAP's 224), in the order of the product."""
        return tuple(band for band in self.bands if band.good)

    def band(self, name: str) -> Band:
        """Return the band called `name` (or an alias of it); case and zero padding do not matter ("b2" is B02).

        Raises:
            SensorError: there is no such band; the message lists the valid names and the nearest.
        """
        found = find_band(self.bands, name)
        if found is None:
            hint = nearest(name, [band.name for band in self.bands])
            raise SensorError(f"{self.name} has no band '{name}'{hint}; bands are {names(self.bands)}")
        return found

    def select(self, bands: Sequence[str] | None = None, near: Sequence[float] | None = None, tol: float = 0.01) -> tuple[Band, ...]:
        """Pick bands by name or by wavelength, in the order asked for; all good bands if neither is given.

        Args:
            bands: band names or aliases.
            near: wavelengths in µm; each picks the nearest good band.
            tol: largest accepted distance in µm between a wanted wavelength and the band's centre.

        Raises:
            SensorError: a name is unknown, no good band lies within `tol`, a band is picked twice, or both ways are used.
        """
        if bands is not None and near is not None:
            raise SensorError("select bands by name or by wavelength, not both")
        if near is not None:
            chosen = tuple(self._nearest_band(wavelength_um, tol) for wavelength_um in near)
        elif bands is not None:
            chosen = tuple(self.band(name) for name in bands)
        else:
            chosen = self.good_bands
        twice = sorted({band.name for band in chosen if chosen.count(band) > 1})
        if twice:
            raise SensorError(f"{self.name}: {', '.join(twice)} picked more than once; name each band once")
        return chosen

    def unit_of(self, band: Band) -> Unit:
        """Return the unit of `band` after scale and offset."""
        return band.unit or self.unit

    def scale_of(self, band: Band) -> tuple[float | None, float | None]:
        """Return scale and offset of `band`: its own, else the sensor's."""
        return (
            self.scale if band.scale is None else band.scale,
            self.offset if band.offset is None else band.offset,
        )

    def with_bands(self, bands: Iterable[Band]) -> Sensor:
        """Return the same sensor with other band records (wavelengths read from a file)."""
        return replace(self, bands=tuple(bands))

    def _nearest_band(self, wavelength_um: float, tol: float) -> Band:
        optical = [(abs(b.center_wavelength_um - wavelength_um), b) for b in self.good_bands if b.center_wavelength_um is not None]
        if not optical:
            raise SensorError(f"{self.name} has no bands with a wavelength; select by name: {names(self.bands)}")
        distance, band = min(optical, key=lambda pair: pair[0])
        # a hair of room, so that a distance equal to the tolerance is not lost to rounding
        if distance > tol + 1e-9:
            raise SensorError(
                f"{self.name} has no good band within {tol:g} µm of {wavelength_um:g} µm; "
                f"the nearest is {band.name} at {band.center_wavelength_um:g} µm (raise tol to take it)"
            )
        return band


def band_key(name: str) -> str:
    """Return the form in which band names are compared: lower case, no zero padding, one kind of separator."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s\-]+", "_", name.strip().lower())) if name else ""


def find_band(bands: Iterable[Band], name: str) -> Band | None:
    """Return the band of `bands` called `name` or having it as an alias, or None. Names go before aliases."""
    key = band_key(name)
    pool = tuple(bands)
    by_name = (band for band in pool if band_key(band.name) == key)
    by_alias = (band for band in pool if key in map(band_key, band.aliases))
    return next(by_name, None) or next(by_alias, None)


def names(bands: Iterable[Band]) -> str:
    """Return the band names as typed after `--bands`; long lists are shortened in the middle."""
    listed = [band.name for band in bands]
    return ",".join(listed if len(listed) <= 40 else [*listed[:3], "...", *listed[-2:]])


def nearest(wanted: str, valid: Sequence[str]) -> str:
    """Return " (did you mean X?)" for the most similar valid name, or an empty text."""
    by_lower = {name.lower(): name for name in valid}
    # a beginning says more than edit distance: "sentinel-2" means sentinel-2-l1c rather than sentinel-1
    close = [name for name in by_lower if wanted and name.startswith(wanted.lower())][:1]
    close = close or get_close_matches(wanted.lower(), by_lower, n=1, cutoff=0.5)
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""
