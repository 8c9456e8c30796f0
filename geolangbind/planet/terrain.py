"""Elevation of a scene: fractal ground by kind of relief, and on top of it what a surface model sees (canopy, houses, halls)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from geolangbind.planet.canvas import Ground
from geolangbind.planet.layout import draw_ground
from geolangbind.planet.noise import CELL_M, GRID, Map, fractal, rotated, smooth
from geolangbind.planet.scene import Scene
from geolangbind.planet.shapes import axis_distance

_KEPT = 4
"""Scenes whose maps are kept: the six chips of one scene are drawn one after the other."""


@lru_cache(maxsize=_KEPT)
def ground_of(scene: Scene) -> Ground:
    """Return the land cover of `scene`; a pure function, the last few results are kept."""
    return draw_ground(scene)


def _noise(rng: np.random.Generator, first: int, last: int, persistence: float, low_m: float, high_m: float) -> Map:
    """Return fractal ground whose standard deviation is drawn between the two limits, more often low than high."""
    return fractal(rng, first, last, persistence) * np.float32(np.exp(rng.uniform(np.log(low_m), np.log(high_m))))


@lru_cache(maxsize=_KEPT)
def bare_ground(scene: Scene) -> Map:
    """Return the elevation of the ground without what stands on it: (GRID, GRID) float32, metres above the sea."""
    rng = scene.rng("terrain")
    base = float(8 + 700 * scene.place.relief**2 * rng.random() + 60 * rng.random())
    tilt = rotated(float(rng.uniform(0, 6.28)))[0] * np.float32(rng.normal(0, 0.006))
    gentle = _noise(rng, 1, 4, 0.5, 0.5, 2.5) + tilt
    match scene.spec.relief:
        case "hills":
            ground = _noise(rng, 1, 8, 0.4, 9, 40)
        case "canopy":
            ground = _noise(rng, 1, 16, 0.5, 6, 45)
        case "mountains":
            ridge = 1 - np.abs(fractal(rng, 2, 32, 0.5))
            ground = 300 + _noise(rng, 1, 4, 0.5, 60, 130) + np.float32(rng.uniform(25, 60)) * ridge
        case "dome":
            u, v = rotated(float(rng.uniform(0, 6.28)), *rng.uniform(-200, 840, 2))
            ground = 800 - np.float32(rng.uniform(1.5e-4, 5e-4)) * (u * u + 0.5 * v * v) + _noise(rng, 2, 4, 0.4, 1, 4)
        case "dunes":
            ground = gentle + _dunes(rng)
        case "gorge":
            ground = gentle - _cut(scene, rng)
        case "valley":
            v, _ = axis_distance(scene)
            beyond = np.maximum(np.abs(v) - scene.axis.width_m / 2, 0)
            steep = np.float32(np.exp(rng.uniform(np.log(0.02), np.log(0.16))))
            ground = gentle * np.minimum(beyond / 150, 1) + np.minimum(beyond / 12, 1) * np.float32(rng.uniform(2, 5)) + steep * beyond
        case "embankment":
            v, _ = axis_distance(scene)
            rise = np.float32(rng.uniform(4, 9) * (1 if rng.random() < 0.7 else -1))
            ground = gentle * 0.6 + rise / (1 + (np.abs(v) / (scene.axis.width_m / 2 + 12)) ** 6)
        case "shore":
            v, _ = axis_distance(scene, 0.0)
            ground, base = np.minimum(np.maximum(-v, 0) * np.float32(rng.uniform(0.03, 0.08)), 14) + (v < -90) * (np.abs(gentle) + 1), 0.0
        case "quay":
            v, _ = axis_distance(scene)
            ground, base = np.where(v < 0, np.float32(rng.uniform(2.5, 5)), 0), 0.0
        case "sea":
            ground, base = np.zeros((GRID, GRID), np.float32), base * float(rng.random() < 0.4)
        case "marsh":
            ground, base = _noise(rng, 6, 32, 0.9, 0.5, 1.2), base * 0.05
        case "airfield":
            ground = gentle * 0.25
        case _:
            ground = gentle
    return np.asarray(ground + np.float32(base), np.float32)


def _dunes(rng: np.random.Generator) -> Map:
    """Return dunes: ridges with a gentle and a steep side across the wind, wandering."""
    u, _ = rotated(float(rng.uniform(0, 6.28)))
    phase = (u + 45 * smooth(rng, 3)) / np.float32(rng.uniform(90, 210))
    saw = phase - np.floor(phase)
    profile = np.where(saw < 0.7, saw / 0.7, (1 - saw) / 0.3)
    return np.asarray(np.float32(rng.uniform(8, 26)) * profile * (1 + 0.3 * smooth(rng, 4)), np.float32)


def _cut(scene: Scene, rng: np.random.Generator) -> Map:
    """Return the depth of a gorge along the scene's axis."""
    v, _ = axis_distance(scene, 50 * smooth(rng, 3))
    half = np.float32(rng.uniform(40, 110))
    return np.asarray(np.float32(rng.uniform(50, 180)) / (1 + (np.abs(v) / half) ** 5), np.float32)


_STANDS: dict[str, dict[int, tuple[float, float]]] = {
    "canopy": {1: (12, 28), 2: (0, 2)},
    "houses": {5: (6, 12), 1: (5, 10)},
    "halls": {5: (9, 20), 1: (4, 9)},
    "quay": {5: (8, 18)},
    "airfield": {5: (9, 16)},
    "valley": {1: (5, 12)},
}
"""Per relief, how high each mask class stands: drawn once per scene between the limits, metres. Elsewhere 30 m sampling hides it."""


def surface(scene: Scene) -> Map:
    """Return the elevation that a surface model such as Copernicus DEM reports: (GRID, GRID) float32, metres."""
    rng = scene.rng("dem")
    height = bare_ground(scene).copy()
    ground = ground_of(scene) if scene.spec.relief in _STANDS else None
    if ground is not None:
        crowns = 1 + 0.18 * smooth(rng, 32) + 0.12 * smooth(rng, 128)
        for cover, (low, high) in _STANDS[scene.spec.relief].items():
            height += (ground.cover == cover) * np.float32(rng.uniform(low, high)) * crowns
    # Interferometric height noise, correlated over about 30 m; water bodies are flattened by the producer.
    noise = np.float32(rng.uniform(0.15, 0.5)) * smooth(rng, 24)
    return np.asarray(height + (noise if scene.spec.relief != "sea" else 0), np.float32)


@lru_cache(maxsize=_KEPT)
def relief_light(scene: Scene) -> Map:
    """Return the illumination of slopes over that of flat ground, (GRID, GRID); ones where pictures are terrain-corrected.

    The cosine of the sun's angle to the surface with 15 % of diffuse light. Plain and gorge are drawn as terrain-corrected
    pictures, so that only elevation tells them apart.
    """
    if scene.spec.relief in ("flat", "gorge", "sea", "quay", "airfield", "halls", "marsh"):
        return np.ones((GRID, GRID), np.float32)
    height = bare_ground(scene)
    down, right = np.gradient(height, np.float32(CELL_M))
    elevation, azimuth = np.radians(scene.sun_elevation_deg), np.radians(scene.sun_azimuth_deg)
    toward_x, toward_y = np.sin(azimuth), -np.cos(azimuth)
    cosine = (1 - (right * toward_x + down * toward_y) / np.tan(elevation)) / np.sqrt(1 + right**2 + down**2)
    return np.asarray(0.15 + 0.85 * np.clip(cosine, 0.02, 2.2), np.float32)
