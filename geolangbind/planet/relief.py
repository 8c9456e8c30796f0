"""Shapes of the ground: one small function per kind of relief in `scene.SPECS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from geolangbind.planet.noise import Map, fractal, rotated, smooth
from geolangbind.planet.scene import Scene
from geolangbind.planet.shapes import axis_distance

Relief = Callable[[Scene, np.random.Generator, Map], Map]


def rough(rng: np.random.Generator, first: int, last: int, persistence: float, low_m: float, high_m: float) -> Map:
    """Return fractal ground whose standard deviation is drawn between the two limits, more often low than high."""
    return np.asarray(fractal(rng, first, last, persistence) * np.float32(np.exp(rng.uniform(np.log(low_m), np.log(high_m)))), np.float32)


def _flat(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    return gentle


def _airfield(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    return np.asarray(gentle * np.float32(0.25), np.float32)


def _hills(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    return rough(rng, 1, 8, 0.4, 8, 32)


def _wooded(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    return rough(rng, 1, 16, 0.5, 5, 30)


def _mountains(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    ridge = 1 - np.abs(fractal(rng, 2, 32, 0.5))
    return np.asarray(300 + rough(rng, 1, 4, 0.5, 60, 130) + np.float32(rng.uniform(25, 60)) * ridge, np.float32)


def _dome(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    u, v = rotated(float(rng.uniform(0, 6.28)), *rng.uniform(-200, 840, 2))
    return np.asarray(800 - np.float32(rng.uniform(1.5e-4, 5e-4)) * (u * u + 0.5 * v * v) + rough(rng, 2, 4, 0.4, 1, 4), np.float32)


def _dunes(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    """Return dunes: ridges with a gentle and a steep side across the wind, wandering."""
    u, _ = rotated(float(rng.uniform(0, 6.28)))
    phase = (u + 45 * smooth(rng, 3)) / np.float32(rng.uniform(90, 210))
    saw = phase - np.floor(phase)
    profile = np.where(saw < 0.7, saw / 0.7, (1 - saw) / 0.3)
    return np.asarray(gentle + np.float32(rng.uniform(8, 26)) * profile * (1 + 0.3 * smooth(rng, 4)), np.float32)


def _gorge(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    """Return a plain with a deep cut along the scene's axis."""
    v, _ = axis_distance(scene, 50 * smooth(rng, 3))
    half = np.float32(rng.uniform(40, 110))
    return np.asarray(gentle - np.float32(rng.uniform(50, 180)) / (1 + (np.abs(v) / half) ** 5), np.float32)


def _valley(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    """Return a level river, banks of a few metres and rising sides."""
    v, _ = axis_distance(scene)
    beyond = np.maximum(np.abs(v) - scene.axis.width_m / 2, 0)
    steep = np.float32(np.exp(rng.uniform(np.log(0.02), np.log(0.16))))
    bank = np.minimum(beyond / 12, 1) * np.float32(rng.uniform(2, 5))
    return np.asarray(gentle * np.minimum(beyond / 150, 1) + bank + steep * beyond, np.float32)


def _embankment(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    """Return level ground with a road on a dam or, less often, in a cutting."""
    v, _ = axis_distance(scene)
    rise = np.float32(rng.uniform(4, 9) * (1 if rng.random() < 0.7 else -1))
    return np.asarray(gentle * 0.6 + rise / (1 + (np.abs(v) / (scene.axis.width_m / 2 + 12)) ** 6), np.float32)


def _shore(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    v, _ = axis_distance(scene)
    slope = np.minimum(np.maximum(-v, 0) * np.float32(rng.uniform(0.03, 0.08)), 14)
    return np.asarray(slope + (v < -90) * (np.abs(gentle) + 1), np.float32)


def _quay(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    v, _ = axis_distance(scene)
    return np.asarray(np.where(v < 0, np.float32(rng.uniform(2.5, 5)), 0), np.float32)


def _sea(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    return np.zeros_like(gentle)


def _marsh(scene: Scene, rng: np.random.Generator, gentle: Map) -> Map:
    return rough(rng, 6, 32, 0.9, 0.5, 1.2)


RELIEFS: Mapping[str, Relief] = {
    "flat": _flat,
    "halls": _flat,
    "houses": _flat,
    "airfield": _airfield,
    "hills": _hills,
    "canopy": _wooded,
    "mountains": _mountains,
    "dome": _dome,
    "dunes": _dunes,
    "gorge": _gorge,
    "valley": _valley,
    "embankment": _embankment,
    "shore": _shore,
    "quay": _quay,
    "sea": _sea,
    "marsh": _marsh,
}
"""Each takes the scene, a generator and gently rolling ground, (GRID, GRID) in metres, and returns the shape of the ground likewise."""

AT_SEA_LEVEL: tuple[str, ...] = ("shore", "quay", "marsh")
"""Kinds that start at 0 m; the sea does too, but a lake need not."""
UNSHADED: tuple[str, ...] = ("flat", "gorge", "sea", "quay", "airfield", "halls", "marsh")
"""Kinds whose pictures show no light and shade of slopes: too flat for it, or drawn as terrain-corrected."""
