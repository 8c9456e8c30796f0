"""Staged scenes: things of seven kinds put onto any open ground, so that much can be said of each and of how they lie to one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from geolangbind.planet.globe import Place
from geolangbind.planet.noise import FOOTPRINT_M
from geolangbind.planet.objects import SceneObject
from geolangbind.planet.scene import Scene, draw_scene, generator
from geolangbind.planet.shapes import line_to

# kind: (shortest, longest in m, width over length low, high, round, height low, high in m)
KINDS: dict[str, tuple[float, float, float, float, bool, float, float]] = {
    "warehouse": (50, 150, 0.4, 0.85, False, 8, 30),
    "tank": (40, 85, 1.0, 1.0, True, 8, 30),
    "pond": (50, 130, 0.5, 1.0, True, -3, -2),
    "array": (80, 180, 0.45, 0.9, False, 0, 0),
    "pit": (55, 130, 0.6, 1.0, True, -25, -10),
    "grove": (55, 130, 0.5, 1.0, True, 12, 20),
    "lot": (50, 130, 0.45, 0.9, False, 0, 0),
}
"""What can be staged. Colours and heights of warehouses and tanks are drawn apart."""

COLOURS: dict[str, tuple[str, ...]] = {"warehouse": ("white", "grey", "blue", "red"), "tank": ("white", "grey", "red")}
"""Colours of the kinds that have one."""

GROUNDS = ("annual_crop", "pasture", "herbaceous_vegetation", "desert", "plain", "highway", "river", "permanent_crop")
"""Scene classes whose ground is open enough."""

TALL_M = 16.0
"""Warehouses and tanks are low (8-11 m) or tall (22-30 m): nothing stands between."""
_FEWEST, _MOST, _EDGE_M = 4, 8, 45.0


def draw_staged(seed: int, index: int) -> Scene:
    """Return staged scene `index` of planet `seed`: a pure function of its arguments.

    Raises:
        SettingsError: a negative seed or index.
    """
    rng = generator(seed, index, "stage")
    scene = draw_scene(seed, index, GROUNDS[int(rng.integers(len(GROUNDS)))])
    things: list[SceneObject] = []
    wanted = int(rng.integers(_FEWEST, _MOST + 1))
    for _attempt in range(40):
        thing = draw_thing(rng, scene)
        if fits(thing, scene, things):
            things.append(thing)
        if len(things) == wanted:
            break
    return replace(scene, objects=tuple(things), staged=True)


def draw_thing(rng: np.random.Generator, scene: Scene) -> SceneObject:
    """Draw a thing somewhere in the scene, its kind and colour as they are met at the place."""
    kinds = list(KINDS)
    kind = kinds[int(rng.choice(len(kinds), p=_shares(scene.place, kinds)))]
    shortest, longest, thin, thick, is_round, low, high = KINDS[kind]
    share = float(rng.random())
    length = shortest * (longest / shortest) ** share
    width = length * float(rng.uniform(thin, thick))
    height = float(rng.uniform(low, high))
    colour = {"array": "blue", "grove": "green"}.get(kind, "dark")
    if kind in COLOURS:
        names = list(COLOURS[kind])
        colour = names[int(rng.choice(len(names), p=_shares(scene.place, names)))]
        height = float(rng.uniform(8, 11) if rng.random() < 0.5 else rng.uniform(22, 30))
    size = ("small", "medium", "large")[min(int(share * 3), 2)]
    x, y = (round(float(c), 1) for c in rng.uniform(_EDGE_M, FOOTPRINT_M - _EDGE_M, 2))
    angle = scene.axis.angle_rad + float(rng.choice([0.0, math.pi / 2]))
    return SceneObject(kind, colour, size, (x, y), round(length, 1), round(width, 1), round(angle, 4), is_round, round(height, 1))


def _shares(place: Place, names: list[str]) -> np.ndarray:
    """How often each kind or colour is met at a place: a fixed function of the global fields, as roofs and trades differ by region."""
    at = np.array([2 * place.warmth - 1, 2 * place.moisture - 1, 2 * place.relief - 1, 2 * place.population - 1, place.soil])
    weights = np.array([[math.sin(1.7 * (sum(map(ord, name)) % 97) + 2.3 * k) for k in range(5)] for name in names])
    likely = np.exp(0.9 * weights @ at)
    return np.asarray(likely / likely.sum())


def fits(thing: SceneObject, scene: Scene, others: Sequence[SceneObject]) -> bool:
    """Return whether a thing stands clear of the others and of the scene's road or river."""
    x0, y0, x1, y1 = thing.box_m
    for other in others:
        a0, b0, a1, b1 = other.box_m
        if x0 < a1 + 10 and a0 < x1 + 10 and y0 < b1 + 10 and b0 < y1 + 10:
            return False
    half = math.hypot(thing.length_m, thing.width_m) / 2
    if scene.spec.layout not in ("highway", "river"):
        return True
    return abs(line_to(scene, *thing.center_m)) > scene.axis.width_m / 2 + half + 10
