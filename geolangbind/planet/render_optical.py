"""Pixels of any optical sensor: material fractions times spectra seen through the bands, light, atmosphere, sampling, noise."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from geolangbind.planet.materials import draw_palette
from geolangbind.planet.noise import Map
from geolangbind.planet.sampling import sample
from geolangbind.planet.scene import Scene
from geolangbind.planet.spectra import WAVELENGTH_UM, band_responses
from geolangbind.planet.terrain import ground_of, relief_light
from geolangbind.sensors.records import Band


@lru_cache(maxsize=4)
def lit_fractions(scene: Scene) -> Map:
    """Return the material fractions (K, GRID, GRID) of a scene times the light on them; the last few are kept."""
    ground = ground_of(scene)
    return np.asarray(ground.fractions * (relief_light(scene) * ground.light), np.float32)


@lru_cache(maxsize=64)
def responses_of(bands: tuple[Band, ...]) -> Map:
    """Return the spectral responses (bands, 211) of optical bands; a band without a width is taken as 3 % of its wavelength."""
    centers = [band.center_wavelength_um or 0.0 for band in bands]
    widths = [band.fwhm_um or 0.03 * center for band, center in zip(bands, centers, strict=True)]
    return band_responses(centers, widths)


def atmosphere(scene: Scene, rng: np.random.Generator) -> tuple[Map, Map]:
    """Return path reflectance and two-way transmittance (211,) each: Rayleigh, aerosol, ozone, water vapour, oxygen.

    Rayleigh optical depth 0.0088 wavelength^-4.05 (Hansen and Travis 1974), single scattering; vapour bands as Gaussians in optical depth.
    """
    wavelength = WAVELENGTH_UM
    mass = 1 + 1 / np.sin(np.radians(scene.sun_elevation_deg))
    rayleigh = 0.0088 * wavelength**-4.05
    haze = 0.05 * float(np.exp(rng.normal(0, 0.6)))
    aerosol = haze * (wavelength / 0.55) ** -float(rng.uniform(0.8, 1.6))
    # 0.385 and 0.10: single-scattering phase functions and air masses of mid latitudes, fitted to water in Sentinel-2 L1C scenes.
    # One scene in ten has a long path under a low sun: bluer by far.
    veil = float(rng.uniform(0.1, 0.4)) if rng.random() < 0.1 else 0.0
    path = rayleigh * (0.385 * float(np.exp(rng.normal(0, 0.06))) + veil) + aerosol * (0.10 + 0.5 * veil)
    vapour = float(np.clip(0.35 + 0.9 * scene.place.warmth * scene.place.moisture + 0.25 * rng.normal(), 0.12, 1.6))
    depth = np.zeros_like(wavelength)
    for center, width, strength in (
        (0.72, 0.01, 0.05),
        (0.82, 0.012, 0.05),
        (0.94, 0.022, 1.0),
        (1.13, 0.03, 1.1),
        (1.38, 0.04, 20),
        (1.88, 0.05, 20),
        (2.6, 0.12, 4),
    ):
        depth += strength * np.exp(-(((wavelength - center) / width) ** 2) / 2)
    depth = depth * vapour * mass / 2.2 * 1.7
    depth += (
        0.25 * np.exp(-(((wavelength - 0.762) / 0.004) ** 2) / 2) + 0.03 * np.exp(-(((wavelength - 0.60) / 0.06) ** 2) / 2) * mass / 2.2
    )
    transmittance = np.exp(-(rayleigh / 2 + aerosol / 6) * mass - depth)
    return np.asarray(path * np.exp(-depth), np.float32), np.asarray(transmittance, np.float32)


def reflectance(scene: Scene, bands: Sequence[Band], product_level: str, pixels: int, gsd_m: float, rng: np.random.Generator) -> Map:
    """Return reflectance (bands, pixels, pixels) float32, top of atmosphere for product level "toa", else at the surface.

    Args:
        scene: the scene.
        bands: optical bands, each with a centre wavelength.
        product_level: "toa" or "surface".
        pixels: size of the picture.
        gsd_m: its ground sampling distance.
        rng: for the sensor's point spread and noise and for the state of the atmosphere.
    """
    responses = responses_of(tuple(bands))
    colours = draw_palette(scene, ground_of(scene).names) @ responses.T
    spread = float(rng.uniform(0.30, 0.55))
    fractions = lit_fractions(scene)
    native = np.array([max(band.gsd_m or gsd_m, gsd_m) for band in bands])
    image = np.empty((len(bands), pixels, pixels), np.float32)
    for size in np.unique(native):
        chosen = native == size
        seen = sample(fractions, pixels, gsd_m, float(size), spread)
        image[chosen] = (colours[:, chosen].T @ seen.reshape(len(seen), -1)).reshape(-1, pixels, pixels)
    if product_level == "toa":
        path, transmittance = atmosphere(scene, rng)
        image *= (responses @ transmittance)[:, None, None]
        image += (responses @ path)[:, None, None]
    else:
        # What atmospheric correction leaves: an error of offset and gain, smooth over wavelength, and more noise in vapour bands.
        blue = np.array([(band.center_wavelength_um or 0.5) ** -2 for band in bands], np.float32)
        image += (float(rng.normal(0, 0.002)) * blue)[:, None, None]
        image *= np.float32(rng.normal(1, 0.02))
    # Coarse bands come interpolated from fewer, larger detectors: less noise from pixel to pixel.
    noise = (float(rng.uniform(0.0004, 0.0010)) * gsd_m / native).astype(np.float32)
    image += noise[:, None, None] * rng.standard_normal(image.shape, np.float32)
    return np.maximum(image, np.float32(1e-4))


def display(image: Map, rng: np.random.Generator) -> Map:
    """Return an 8-bit picture (values 0 to 255, float32) of top-of-atmosphere reflectance (3, H, W).

    The stretch is nearly fixed, 0 to 0.275, as in EuroSAT's pictures, wider for very bright scenes; three-channel pictures went
    through JPEG with halved colour resolution, most at its finest setting, as EuroSAT's did.
    """
    low, high = float(rng.normal(0.0, 0.003)), 0.275 * float(np.exp(rng.normal(0, 0.04)))
    quality = 100 if rng.random() < 0.75 else int(rng.integers(85, 100))
    high = max(high, float(np.percentile(image, 80)) * float(rng.uniform(0.7, 1.1)))
    picture = np.clip(np.round((image - low) / (high - low) * 255), 0, 255)
    if len(picture) == 3:
        buffer = io.BytesIO()
        Image.fromarray(np.moveaxis(picture, 0, -1).astype(np.uint8)).save(buffer, "JPEG", quality=quality, subsampling=2)
        picture = np.moveaxis(np.asarray(Image.open(buffer)), -1, 0)
    return np.asarray(picture, np.float32)
