"""Land cover that nature makes: forest, heath, steppe, sand, rock, snow and water."""

from __future__ import annotations

import numpy as np

from geolangbind.planet.canvas import Canvas, mix
from geolangbind.planet.layout_farmed import TRACK, annual_background
from geolangbind.planet.noise import fractal, smooth
from geolangbind.planet.scene import Scene
from geolangbind.planet.shapes import axis_distance, houses, line_distance, stamp, trees

WATER = mix({"water": 1})


def forest(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Closed dark canopy with crown texture, at times a path, a clearing or a patch of another stand."""
    share = float(rng.random())
    texture = float(rng.uniform(0.10, 0.26))
    canvas = Canvas(mix({"tree": share + 0.1, "tree_b": 1 - share}, {"tree": share, "tree_b": 1.3 - share}, texture=texture))
    if rng.random() < 0.4:
        patch = fractal(rng, 2, 8, 0.6) > rng.uniform(0.3, 1.3)
        canvas.paint(patch, mix({"tree": 0.8, "shrub": 0.2}, {"tree_b": 0.6, "tree": 0.4}, texture=texture))
    if rng.random() < 0.3:
        distance, _ = line_distance(scene.axis.angle_rad, scene.axis.offset_m * 2, scene.axis.curvature_per_m)
        canvas.paint(np.abs(distance) < rng.uniform(2.5, 6), mix({"grass": 0.6, "tree": 0.2, "soil_a": 0.2}))
    stamp(scene, canvas)
    return canvas


def herbaceous(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Rough natural vegetation: dry and green grass, shrubs and bare patches blended by fractal noise, no parcels, winding tracks."""
    dry = float(np.clip(rng.normal(1.0 - 0.35 * scene.vigour, 0.38), 0.02, 1))
    bare = float(rng.uniform(0, 1.3) * dry)
    base = {"dry_grass": dry, "grass": 0.85 - 0.75 * dry, "shrub": float(rng.uniform(0, 0.9)), "soil_a": bare}
    other = {
        "dry_grass": 0.6 * dry,
        "grass": 0.8 - 0.7 * dry,
        "shrub": float(rng.uniform(0.1, 1.0)),
        "soil_b": float(rng.uniform(0, 1)) * bare,
    }
    canvas = Canvas(mix(base, other, texture=float(rng.uniform(0.05, 0.24))))
    for extra in ({"shrub": 0.8, "tree": 0.3}, {"soil_b": 0.4 + bare, "dry_grass": 0.6, "grass": 0.2}):
        if rng.random() < 0.5:
            mask = fractal(rng, int(rng.choice([2, 4, 6])), 64, float(rng.uniform(0.6, 1.0))) > rng.uniform(0.4, 1.8)
            canvas.paint(mask, mix(extra, {**base, **extra}, texture=0.12))
    if rng.random() < 0.5:
        # Gullies: where fractal noise crosses zero, lines branch as drainage does.
        gully = np.abs(fractal(rng, 3, 24, 0.6)) < rng.uniform(0.04, 0.14)
        canvas.paint(gully, mix({"shrub": 0.5, **other}, {"shrub": 0.8, **base}, texture=0.1))
    if rng.random() < 0.45:
        distance, _ = line_distance(scene.axis.angle_rad, scene.axis.offset_m, scene.axis.curvature_per_m, 40 * smooth(rng, 5))
        canvas.paint(np.abs(distance) < rng.uniform(2.5, 5), TRACK)
    stamp(scene, canvas)
    return canvas


def steppe(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Open dry grassland, smooth and even."""
    canvas = Canvas(mix({"dry_grass": 0.75, "grass": 0.12, "soil_a": 0.13}, {"dry_grass": 0.85, "soil_b": 0.15}, texture=0.015))
    mask = smooth(rng, 3) > rng.uniform(0.2, 1.6)
    canvas.paint(mask, mix({"dry_grass": 0.9, "grass": 0.1}, {"dry_grass": 0.7, "grass": 0.2, "soil_a": 0.1}, texture=0.015))
    stamp(scene, canvas)
    return canvas


def desert(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Sand in dunes or plains, with stony patches."""
    canvas = Canvas(mix({"sand": 1}, {"sand": 0.85, "soil_b": 0.15}, texture=0.02))
    if rng.random() < 0.5:
        mask = fractal(rng, 3, 32, 0.7) > rng.uniform(0.5, 1.6)
        canvas.paint(mask, mix({"soil_b": 0.5, "sand": 0.5}, {"rock_b": 0.3, "sand": 0.7}, texture=0.05))
    stamp(scene, canvas)
    return canvas


def beach(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Sea, a band of sand with surf, dunes and land behind."""
    canvas = annual_background(scene, rng)
    v, _ = axis_distance(scene, 14 * smooth(rng, 4))
    width = scene.axis.width_m
    canvas.paint(v > -width - 60, mix({"dry_grass": 0.5, "sand": 0.3, "shrub": 0.3}, {"shrub": 0.6, "grass": 0.4}, texture=0.08))
    canvas.paint(v > -width, mix({"sand": 1}, texture=0.02))
    canvas.paint(v > 0, mix({"water": 0.7, "sand": 0.3}))
    if rng.random() < 0.6:
        canvas.paint((v > 12) & (v < 24) & (smooth(rng, 12) > 0), mix({"snow": 0.25, "water": 0.75}))
    canvas.paint(v > 28, WATER)
    return canvas


def wetland(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Reeds and sedges cut by open water."""
    canvas = Canvas(mix({"reed": 0.8, "water": 0.2}, {"reed": 0.7, "grass": 0.3}, texture=0.05))
    wet = fractal(rng, 4, 32, 0.8)
    canvas.paint(wet > 0.3, mix({"reed": 0.5, "water": 0.5}, {"reed": 0.75, "water": 0.25}))
    canvas.paint(wet > rng.uniform(0.7, 1.2), WATER)
    canvas.paint(wet < -1.4, mix({"tree": 0.5, "shrub": 0.5}, texture=0.1))
    stamp(scene, canvas)
    return canvas


def snow(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Snow or glacier with some rock looking out."""
    canvas = Canvas(mix({"snow": 1}, {"snow": 0.96, "shade": 0.04}, texture=0.01))
    if rng.random() < 0.5:
        mask = fractal(rng, 2, 32, 0.7) > rng.uniform(1.0, 2.2)
        canvas.paint(mask, mix({"rock_b": 0.7, "snow": 0.3}, {"rock_b": 1}, texture=0.1))
    return canvas


def rock(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Bare rock of two shades in fractal patches."""
    canvas = Canvas(mix({"rock_a": 1}, {"rock_b": 0.8, "rock_a": 0.2}, texture=0.12))
    mask = fractal(rng, 3, 32, 0.8) > rng.uniform(0.0, 1.2)
    canvas.paint(mask, mix({"rock_b": 1}, {"rock_b": 0.6, "rock_a": 0.4}, texture=0.12))
    return canvas


def sea(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Open water, now and then a shore or boats."""
    foam = float(rng.uniform(0.0, 0.005))
    canvas = Canvas(mix({"water": 1.0}, {"water": 1 - foam, "snow": foam}))
    if rng.random() < 0.12:
        shore = fractal(rng, 2, 16, 0.5) > rng.uniform(1.2, 2.2)
        canvas.paint(shore, mix({"tree": 0.5, "grass": 0.3, "soil_b": 0.2}, {"shrub": 0.6, "water": 0.3}, texture=0.1))
    stamp(scene, canvas)
    return canvas


def river(scene: Scene, rng: np.random.Generator) -> Canvas:
    """A broad river in a smooth bend through fields, woods or houses, its banks lined with trees."""
    canvas = annual_background(scene, rng)
    if rng.random() < 0.5:
        trees(rng, canvas, float(rng.uniform(0.2, 0.8)), int(rng.choice([2, 3, 6])))
    wave = 22 * smooth(rng, 2)
    v, _ = axis_distance(scene, wave)
    half = scene.axis.width_m / 2
    if rng.random() < 0.3:
        town = (smooth(rng, 3) > 0.2) & (np.abs(v) > half + 15)
        canvas.paint(town, mix({"grass": 0.6, "concrete": 0.2, "tree": 0.2}, texture=0.1))
        houses(
            rng,
            canvas,
            scene.axis.angle_rad,
            (15, 18),
            (0.4, 0.85),
            [mix({"grey_roof": 1}), mix({"red_roof": 1}), mix({"concrete": 1})],
            0.7,
            town,
        )
    if rng.random() < 0.75:
        ragged = half + rng.uniform(5, 35) + 8 * smooth(rng, 16)
        canvas.paint(np.abs(v) < ragged, mix({"tree": 0.7, "grass": 0.3}, {"tree_b": 0.5, "shrub": 0.5}, texture=0.14))
    if rng.random() < 0.25:
        canvas.paint(np.abs(v) < half + rng.uniform(3, 12), mix({"sand": 0.2, "gravel": 0.4, "grass": 0.4}, {"grass": 1}))
    canvas.paint(np.abs(v) < half, WATER)
    if rng.random() < 0.25:
        across, _ = line_distance(scene.axis.angle_rad + np.pi / 2, float(rng.uniform(-200, 200)), 0.0)
        canvas.paint(np.abs(across) < rng.uniform(5, 10), mix({"concrete": 0.5, "asphalt": 0.5}, rough_db=4.0))
    stamp(scene, canvas)
    return canvas
