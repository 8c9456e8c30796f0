"""Pixels of a thermal sensor: surface temperature per material, sun on slopes, hot works, sampling, camera gain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geolangbind.planet.materials import MATERIALS
from geolangbind.planet.noise import GRID, Map, axes_m, fractal
from geolangbind.planet.sampling import sample
from geolangbind.planet.scene import Scene
from geolangbind.planet.terrain import ground_of, relief_light
from geolangbind.sensors.records import Band


def _hot_spots(scene: Scene, rng: np.random.Generator) -> Map:
    """Return the extra kelvin of furnaces and stacks on the scene's halls and tanks, (GRID, GRID)."""
    x, y = axes_m()
    extra = np.zeros((GRID, GRID), np.float32)
    centers = [thing.center_m for thing in scene.objects if thing.kind in ("warehouse", "tank")][:4] or [(320.0, 320.0)]
    for cx, cy in centers:
        radius = np.float32(rng.uniform(14, 34))
        extra += np.float32(rng.uniform(35, 130)) * np.exp(-(((x - np.float32(cx)) ** 2 + (y - np.float32(cy)) ** 2) / radius**2))
    return extra


def surface_temperature(scene: Scene, rng: np.random.Generator) -> Map:
    """Return the temperature of the surface on the 5 m grid, (GRID, GRID) float32 in K, on a clear forenoon."""
    ground = ground_of(scene)
    warmth = scene.place.warmth
    swing = {"summer": 8.0, "winter": -8.0}.get(scene.season, 0.0) * (1.1 - 0.5 * warmth)
    air = 262 + 36 * warmth + swing + float(rng.normal(0, 3.0)) + (6 if scene.spec.habitat == "arid" else 0)
    sun = float(np.clip(np.sin(np.radians(scene.sun_elevation_deg)) / 0.75, 0.35, 1.35)) * float(rng.uniform(0.85, 1.25))
    shift = rng.normal(0, 1.0, len(MATERIALS)).astype(np.float32)
    names = list(MATERIALS)
    warm = np.array([MATERIALS[name].warm_k * sun + shift[names.index(name)] for name in ground.names], np.float32)
    if "water" in ground.names:
        # Water follows the season late and the morning not at all.
        warm[ground.names.index("water")] = np.clip(air - swing * 0.6 - 3, 271.5, 303) - air + shift[names.index("water")]
    if "snow" in ground.names:
        warm[ground.names.index("snow")] = min(air - 4, 271.0) - air
    share = ground.fractions / ground.fractions.sum(axis=0)
    light = relief_light(scene)
    kelvin = air + np.tensordot(warm, share, 1) + ground.warm_k * sun + 7.0 * sun * (light - 1) * (ground.cover != 0)
    kelvin += 0.35 * fractal(rng, 3, 24, 0.7)
    if scene.spec.twist == "hot":
        kelvin += _hot_spots(scene, rng)
    return np.asarray(kelvin, np.float32)


def brightness_temperature(
    scene: Scene, bands: Sequence[Band], pixels: int, gsd_m: float, at_surface: bool, rng: np.random.Generator
) -> Map:
    """Return temperature (bands, pixels, pixels) float32 in K: at the sensor (emissivity and vapour take 1 to 4 K), or at the surface.

    Args:
        scene: the scene.
        bands: thermal bands; each is sampled at its own native distance.
        pixels: size of the picture.
        gsd_m: its ground sampling distance.
        at_surface: True for products corrected for emissivity and atmosphere.
        rng: for weather, vapour and noise.
    """
    kelvin = surface_temperature(scene, rng)
    vapour = 0.0 if at_surface else float(rng.uniform(0.6, 1.0)) * (0.5 + 3.0 * scene.place.moisture * scene.place.warmth)
    images = []
    for band in bands:
        seen = sample(kelvin, pixels, gsd_m, max(band.gsd_m or gsd_m, gsd_m), 0.4)
        # The window beyond 11.5 µm holds more water vapour: the basis of split-window methods.
        loss = vapour * (1.5 if (band.center_wavelength_um or 10.0) > 11.5 else 1.0)
        images.append(seen - np.float32(loss) + 0.05 * rng.standard_normal((pixels, pixels), np.float32))
    return np.stack(images).astype(np.float32)


def camera_gain(kelvin: Map, rng: np.random.Generator) -> Map:
    """Return the 8-bit picture (0 to 255, float32) that a thermal camera's automatic gain makes of temperatures (1, H, W).

    Between two percentiles stretched to most of the range, the stretch never finer than 3 K, with the sensor's noise.
    """
    low, high = np.percentile(kelvin, [float(rng.uniform(0.2, 3)), float(rng.uniform(97, 99.8))])
    span = max(float(high - low), 3.0)
    black, white = float(rng.uniform(5, 60)), float(rng.uniform(190, 250))
    noise = 0.06 * rng.standard_normal(kelvin.shape, np.float32)
    middle = (low + high) / 2
    picture = (black + white) / 2 + (kelvin + noise - middle) / span * (white - black)
    return np.asarray(np.clip(np.round(picture), 0, 255), np.float32)
