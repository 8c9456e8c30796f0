"""Elevation of a scene: the ground by kind of relief, and on top of it what a surface model sees (canopy, houses, halls)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from geolangbind.planet.canvas import Ground
from geolangbind.planet.layout import draw_ground
from geolangbind.planet.noise import CELL_M, GRID, Map, rotated, smooth
from geolangbind.planet.relief import AT_SEA_LEVEL, RELIEFS, UNSHADED, rough
from geolangbind.planet.scene import Scene
from geolangbind.planet.shapes import footprint

_KEPT = 4
"""Scenes whose maps are kept: the six chips of one scene are drawn one after the other."""


@lru_cache(maxsize=_KEPT)
def ground_of(scene: Scene) -> Ground:
    """Return the land cover of `scene`; a pure function, the last few results are kept."""
    return draw_ground(scene)


@lru_cache(maxsize=_KEPT)
def bare_ground(scene: Scene) -> Map:
    """Return the elevation of the ground without what stands on it: (GRID, GRID) float32, metres above the sea."""
    rng = scene.rng("terrain")
    kind = scene.spec.relief
    base = float(8 + 700 * scene.place.relief**2 * rng.random() + 60 * rng.random())
    if kind in AT_SEA_LEVEL or (kind == "sea" and rng.random() < 0.6):
        base = 0.0
    tilt = rotated(float(rng.uniform(0, 6.28)))[0] * np.float32(rng.normal(0, 0.006))
    gentle = rough(rng, 1, 4, 0.5, 0.5, 2.5) + tilt
    return np.asarray(RELIEFS[kind](scene, rng, gentle) + np.float32(base), np.float32)


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
    for thing in scene.objects:
        if thing.height_m:
            height += footprint(thing) * np.float32(thing.height_m)
    # Interferometric height noise, correlated over about 30 m; water bodies are flattened by the producer.
    noise = np.float32(rng.uniform(0.15, 0.5)) * smooth(rng, 24)
    return np.asarray(height + (noise if scene.spec.relief != "sea" else 0), np.float32)


@lru_cache(maxsize=_KEPT)
def relief_light(scene: Scene) -> Map:
    """Return the illumination of slopes over that of flat ground, (GRID, GRID); ones where pictures are terrain-corrected.

    The cosine of the sun's angle to the surface with 20 % of diffuse light. Plain and gorge are drawn as terrain-corrected
    pictures, so that only elevation tells them apart.
    """
    if scene.spec.relief in UNSHADED:
        return np.ones((GRID, GRID), np.float32)
    height = bare_ground(scene)
    down, right = np.gradient(height, np.float32(CELL_M))
    elevation, azimuth = np.radians(scene.sun_elevation_deg), np.radians(scene.sun_azimuth_deg)
    toward_x, toward_y = np.sin(azimuth), -np.cos(azimuth)
    cosine = (1 - (right * toward_x + down * toward_y) / np.tan(elevation)) / np.sqrt(1 + right**2 + down**2)
    return np.asarray(0.2 + 0.8 * np.clip(cosine, 0.1, 2.0), np.float32)
