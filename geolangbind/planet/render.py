"""Pixels of any sensor: the one door to the renderers. Masks too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geolangbind.errors import SensorError
from geolangbind.planet.noise import CELL_M, FOOTPRINT_M, GRID, Map
from geolangbind.planet.render_optical import display, reflectance
from geolangbind.planet.render_radar import backscatter
from geolangbind.planet.render_thermal import brightness_temperature, camera_gain
from geolangbind.planet.sampling import sample
from geolangbind.planet.scene import Scene
from geolangbind.planet.terrain import bare_ground, ground_of, surface
from geolangbind.sensors.records import Band, Sensor
from geolangbind.sensors.units import Unit

_THERMAL_FROM_UM = 3.0
_OPTICAL_RANGE_UM = (0.40, 2.5)


def render(scene: Scene, sensor: Sensor, bands: Sequence[Band], unit: Unit, pixels: int, gsd_m: float) -> Map:
    """Return the picture that `sensor` takes of `scene`.

    Bands are known by their physics alone (wavelength and width, or frequency and polarisation), so a new sensor needs no code here.

    Args:
        scene: the scene.
        sensor: its product level decides between top-of-atmosphere and surface values.
        bands: the bands to draw, in channel order.
        unit: what the values shall mean.
        pixels: width and height of the picture.
        gsd_m: its ground sampling distance; `pixels * gsd_m` at most the scene's 640 m.

    Returns:
        (bands, pixels, pixels) float32 in `unit`; `display_u8` as whole numbers from 0 to 255.

    Raises:
        SensorError: a band has no wavelength or one the planet does not model, or the unit does not go with the bands.
        SettingsError: the picture is larger than the scene.
    """
    match unit:
        case Unit.SIGMA0_DB | Unit.SIGMA0_LINEAR | Unit.GAMMA0_DB | Unit.GAMMA0_LINEAR:
            return backscatter(scene, bands, unit, pixels, gsd_m, scene.rng("sar"))
        case Unit.ELEVATION_M:
            return np.stack([sample(surface(scene), pixels, gsd_m, band.gsd_m or gsd_m, 0.35) for band in bands])
        case Unit.HEIGHT_M:
            above = surface(scene) - bare_ground(scene)
            return np.stack([sample(above, pixels, gsd_m, band.gsd_m or gsd_m, 0.35) for band in bands])
    wavelengths = [_wavelength(sensor, band) for band in bands]
    if min(wavelengths) >= _THERMAL_FROM_UM:
        return _thermal(scene, bands, unit, pixels, gsd_m)
    if max(wavelengths) > _OPTICAL_RANGE_UM[1]:
        raise SensorError(
            f"bands of {sensor.name} lie at {wavelengths} µm; the planet draws reflected light to 2.5 µm and thermal bands from 3 µm, apart"
        )
    rng = scene.rng(sensor.modality if sensor.modality in ("rgb", "msi", "hsi") else "rgb")
    if unit is Unit.DISPLAY_U8:
        rng = scene.rng("rgb")
        return display(reflectance(scene, bands, "toa", pixels, gsd_m, rng), rng)
    if unit is not Unit.REFLECTANCE:
        raise SensorError(f"the planet draws {sensor.name} as reflectance or display_u8, not as {unit}")
    return reflectance(scene, bands, sensor.product_level, pixels, gsd_m, rng)


def _wavelength(sensor: Sensor, band: Band) -> float:
    if band.center_wavelength_um is None:
        raise SensorError(f"band {band.name} of {sensor.name} has no centre wavelength; the planet cannot draw it")
    return band.center_wavelength_um


def _thermal(scene: Scene, bands: Sequence[Band], unit: Unit, pixels: int, gsd_m: float) -> Map:
    """Return a thermal picture in kelvin, degrees Celsius or as a camera's 8 bits."""
    rng = scene.rng("ir")
    kelvin = brightness_temperature(scene, bands, pixels, gsd_m, unit is Unit.SURFACE_TEMPERATURE_K, rng)
    match unit:
        case Unit.DISPLAY_U8:
            return camera_gain(kelvin, rng)
        case Unit.CELSIUS:
            return kelvin - np.float32(273.15)
        case Unit.BRIGHTNESS_TEMPERATURE_K | Unit.SURFACE_TEMPERATURE_K:
            return kelvin
    raise SensorError(f"the planet draws thermal bands as temperature or display_u8, not as {unit}")


def render_mask(scene: Scene, pixels: int, gsd_m: float) -> NDArray[np.uint8]:
    """Return the land-cover mask (pixels, pixels): values are indices into `materials.MASK_CLASSES`, taken at pixel centres."""
    cover = ground_of(scene).cover
    start = (FOOTPRINT_M - pixels * gsd_m) / 2
    at = np.clip(((start + (np.arange(pixels) + 0.5) * gsd_m) / CELL_M).astype(int), 0, GRID - 1)
    return np.asarray(cover[at][:, at], np.uint8)
