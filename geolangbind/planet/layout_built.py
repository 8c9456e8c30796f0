"""Land cover that builders make: motorways, works, towns, ports and airfields."""

from __future__ import annotations

import numpy as np

from geolangbind.planet.canvas import Canvas, mix
from geolangbind.planet.layout_farmed import GRASS, annual_background
from geolangbind.planet.noise import fractal, smooth
from geolangbind.planet.scene import Scene
from geolangbind.planet.shapes import axis_distance, houses, line_distance, stamp, trees

ROAD = mix({"asphalt": 0.6, "concrete": 0.4}, {"asphalt": 0.45, "concrete": 0.55})
ROOFS = tuple(
    mix({name: 1}, {name: 0.8, "grey_roof": 0.2})
    for name in ("red_roof", "red_roof", "grey_roof", "grey_roof", "grey_roof", "grey_roof", "concrete")
)
HALLS = tuple(
    mix({name: 1}, {name: 0.85, "concrete": 0.15})
    for name in ("white_roof", "grey_roof", "grey_roof", "grey_roof", "concrete", "concrete", "gravel", "blue_roof")
)


def highway(scene: Scene, rng: np.random.Generator) -> Canvas:
    """A motorway in a wide bend through fields or woods, its verge of grass, sometimes a second road."""
    canvas = annual_background(scene, rng)
    if rng.random() < 0.25:
        town = smooth(rng, 3) > 0.5
        canvas.paint(town, mix({"grass": 0.7, "concrete": 0.3}, texture=0.08))
        houses(rng, canvas, scene.axis.angle_rad, (20, 20), (0.4, 0.8), ROOFS, 0.6, town)
    if rng.random() < 0.6:
        second, _ = line_distance(
            scene.axis.angle_rad + float(rng.uniform(0.5, 2.6)), float(rng.uniform(-200, 200)), float(rng.normal(0, 0.001))
        )
        canvas.paint(np.abs(second) < rng.uniform(3.5, 9), ROAD)
    v, u = axis_distance(scene)
    half = scene.axis.width_m / 2
    canvas.paint(np.abs(v) < half + rng.uniform(4, 16), GRASS)
    if rng.random() < 0.3:
        ramp = np.abs(np.hypot(u - rng.uniform(-150, 150), v - rng.uniform(30, 80)) - rng.uniform(45, 80)) < 5
        canvas.paint(ramp, ROAD)
    bright = float(rng.uniform(0.1, 0.9))
    lane = mix({"asphalt": 1 - bright, "concrete": bright}, {"asphalt": 1.1 - bright, "concrete": bright})
    canvas.paint(np.abs(v) < half, lane)
    if half > 11:
        canvas.paint(np.abs(v) < half * 0.16, mix({"grass": 0.7, "asphalt": 0.3}))
    stamp(scene, canvas)
    return canvas


def industrial(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Big halls, yards of concrete and gravel, tanks, little green."""
    yard = float(rng.random())
    canvas = Canvas(
        mix(
            {"asphalt": 1 - yard, "concrete": 0.3 + yard, "gravel": 0.6 * yard},
            {"asphalt": 0.6, "concrete": 0.4, "soil_a": 0.3},
            texture=0.06,
        )
    )
    green = fractal(rng, 3, 16, 0.6) > rng.uniform(-0.6, 1.2)
    canvas.paint(green, mix({"grass": 0.8, "soil_a": 0.2}, {"grass": 0.5, "tree": 0.5}, texture=0.1))
    angle = scene.axis.angle_rad
    street = mix({"asphalt": 0.9, "concrete": 0.1}, warm_k=1.0)
    side = float(rng.uniform(30, 85))
    houses(rng, canvas, angle, (side, side * 0.8), (0.35, 0.9), HALLS, float(rng.uniform(0.35, 0.75)), None, (130, 260), street, 11.0)
    if rng.random() < 0.5:
        houses(rng, canvas, angle, (15, 15), (0.3, 0.8), HALLS, 0.3, smooth(rng, 4) > 0.8)
    if rng.random() < 0.7:
        trees(rng, canvas, float(rng.uniform(0.02, 0.15)), 10)
    stamp(scene, canvas)
    return canvas


def residential(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Streets of small houses in gardens."""
    leafy = float(rng.uniform(0.35, 0.95))
    gardens = mix(
        {"grass": leafy, "tree": 0.5 * leafy, "concrete": 0.5 * (1 - leafy), "soil_a": 0.1, "asphalt": 0.2},
        {"grass": 0.6, "tree": 0.5, "asphalt": 0.2},
        texture=0.16,
    )
    canvas = Canvas(gardens)
    trees(rng, canvas, float(rng.uniform(0.06, 0.35)), int(rng.choice([10, 24, 40, 60])))
    pitch = float(rng.uniform(10, 20))
    light = float(rng.random())
    street = mix({"asphalt": 1.4 - light, "concrete": 0.8 * light, "grass": 0.15}) if rng.random() < 0.75 else None
    lot = (pitch, pitch * float(rng.uniform(0.8, 1.3)))
    density, width = float(rng.uniform(0.5, 0.9)), float(rng.uniform(6, 12))
    houses(rng, canvas, scene.axis.angle_rad, lot, (0.4, 0.85), ROOFS, density, None, (45, 150), street, width)
    if rng.random() < 0.35:
        outside = fractal(rng, 2, 8, 0.5) > rng.uniform(0.9, 1.8)
        canvas.paint(outside, GRASS if rng.random() < 0.6 else mix({"tree": 0.7, "tree_b": 0.3}, texture=0.15))
    stamp(scene, canvas)
    return canvas


def harbour(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Quays and sheds on one side, water with ships on the other."""
    canvas = Canvas(mix({"concrete": 0.6, "asphalt": 0.4}, {"asphalt": 0.6, "gravel": 0.4}, texture=0.05))
    v, u = axis_distance(scene)
    land = v < -scene.axis.width_m
    houses(rng, canvas, scene.axis.angle_rad, (34, 26), (0.4, 0.9), HALLS, 0.55, land, (110, 220), ROAD, 10.0)
    canvas.paint(v > 0, mix({"water": 1}))
    gap, pier = float(rng.uniform(120, 220)), float(rng.uniform(12, 28))
    canvas.paint((np.mod(u + 1000, gap) < pier) & (v > -1) & (v < rng.uniform(70, 180)), mix({"concrete": 1}, rough_db=3.0))
    stamp(scene, canvas)
    return canvas


def airport(scene: Scene, rng: np.random.Generator) -> Canvas:
    """A runway and taxiway in mown grass, an apron with aircraft and a terminal."""
    canvas = Canvas(mix({"grass": 0.75, "dry_grass": 0.25}, {"grass": 0.6, "dry_grass": 0.4}))
    v, u = axis_distance(scene)
    paved = mix({"asphalt": 0.5, "concrete": 0.5}, {"asphalt": 0.7, "concrete": 0.3})
    half = scene.axis.width_m / 2
    canvas.paint(np.abs(v + 30) < half, paved)
    canvas.paint((np.abs(v + 30) < 2) & (np.mod(u + 1000, 60) < 30), mix({"white_roof": 0.5, "asphalt": 0.5}))
    canvas.paint(np.abs(v - 62) < 11, paved)
    canvas.paint((np.mod(u + 1000, 230) < 20) & (v > -30) & (v < 70), paved)
    canvas.paint((v > 85) & (v < 270), mix({"concrete": 0.8, "asphalt": 0.2}, {"concrete": 0.6, "asphalt": 0.4}))
    canvas.paint(v > 290, GRASS)
    stamp(scene, canvas)
    return canvas
