"""Land cover that farmers and parcels make: annual and permanent crops, pasture, solar farms."""

from __future__ import annotations

import numpy as np

from geolangbind.planet.canvas import Canvas, mix
from geolangbind.planet.noise import smooth
from geolangbind.planet.scene import Scene
from geolangbind.planet.shapes import houses, line_distance, parcel_rows, parcels, stamp, trees

GREEN = mix({"crop_a": 1}, {"crop_a": 0.85, "crop_b": 0.15}, rough_db=0.5)
GREEN_B = mix({"crop_b": 1}, {"crop_b": 0.8, "soil_a": 0.2})
YOUNG = mix({"crop_b": 0.5, "soil_a": 0.5}, {"crop_b": 0.35, "soil_a": 0.65})
BARE = mix({"soil_a": 1}, {"soil_a": 0.75, "soil_b": 0.25}, texture=0.02)
BARE_B = mix({"soil_b": 1}, {"soil_a": 0.35, "soil_b": 0.65}, texture=0.02)
STUBBLE = mix({"dry_grass": 0.6, "soil_b": 0.4}, {"dry_grass": 0.5, "soil_a": 0.5}, texture=0.02)
GRASS = mix({"grass": 0.9, "dry_grass": 0.1}, {"grass": 0.6, "crop_b": 0.2, "dry_grass": 0.2})
TRACK = mix({"soil_b": 0.6, "gravel": 0.4}, {"soil_b": 0.8, "dry_grass": 0.2})
HEDGE = mix({"tree": 0.6, "shrub": 0.4}, {"tree": 0.8, "tree_b": 0.2}, texture=0.12)
FIELD_KINDS = (GREEN, GREEN_B, YOUNG, BARE, BARE_B, STUBBLE)


def _field_weights(vigour: float, rng: np.random.Generator) -> list[float]:
    """Return how common each of FIELD_KINDS is: green fields with vigour; scenes differ, neighbours agree."""
    base = np.array([vigour, 0.6 * vigour, 0.35, 0.75 * (1.1 - vigour), 0.55 * (1.1 - vigour), 0.45 * (1.1 - vigour)])
    return list(base * np.exp(rng.normal(0, 1.2, 6)))


def annual(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Large straight-edged fields, green or bare, with a few tracks."""
    canvas = Canvas(BARE)
    widest = float(rng.uniform(130, 420))
    ids, edge = parcels(rng, scene.axis.angle_rad, (60, widest), (140, 700), float(rng.uniform(0, 14)))
    canvas.paint_table(
        ids, parcel_rows(rng, FIELD_KINDS, _field_weights(scene.vigour, rng), 0.08, stripes=0.30 * float(rng.random() < 0.35))
    )
    if rng.random() < 0.55:
        canvas.paint(edge < rng.uniform(1.5, 4.0), GRASS if rng.random() < 0.6 else TRACK)
    stamp(scene, canvas)
    if rng.random() < 0.4:
        distance, _ = line_distance(scene.axis.angle_rad, float(rng.uniform(-250, 250)), 0.0)
        canvas.paint(np.abs(distance) < rng.uniform(2.5, 5), TRACK)
    return canvas


def pasture(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Green grass in irregular parcels of nearly one colour, with hedges and single trees."""
    canvas = Canvas(GRASS)
    lush = mix({"grass": 0.4, "crop_a": 0.6}, {"grass": 0.8, "crop_a": 0.2})
    grazed = mix({"grass": 0.7, "dry_grass": 0.3}, {"grass": 0.7, "shrub": 0.2, "dry_grass": 0.1})
    mown = mix({"grass": 0.5, "crop_b": 0.5}, {"grass": 0.6, "dry_grass": 0.2, "crop_b": 0.2})
    ids, edge = parcels(rng, scene.axis.angle_rad, (60, float(rng.uniform(120, 330))), (90, 420), float(rng.uniform(8, 34)))
    brown = 0.05 if rng.random() < 0.55 else 0.45
    kinds = (GRASS, lush, grazed, mown, YOUNG, BARE)
    canvas.paint_table(ids, parcel_rows(rng, kinds, (1.0, 0.8, 0.5, 0.5, brown, 0.4 * brown), 0.06, contrast_range=(0.4, 1.0)))
    if rng.random() < 0.8:
        gaps = smooth(rng, 24) > rng.uniform(-1.0, 0.4)
        canvas.paint((edge < rng.uniform(3, 9)) & gaps, HEDGE)
    if rng.random() < 0.6:
        trees(rng, canvas, float(rng.uniform(0.01, 0.16)), int(rng.choice([4, 8, 16, 32])))
    stamp(scene, canvas)
    return canvas


def permanent(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Orchards, vineyards and groves: small narrow parcels in rows over soil or grass, with bright paths."""
    dry = float(np.clip(rng.normal(0.9 - scene.vigour, 0.25), 0, 1))
    canvas = Canvas(BARE)
    grove = mix({"shrub": 0.55, "soil_b": 0.45}, {"tree": 0.5, "soil_b": 0.35, "soil_a": 0.15}, texture=0.10)
    vines = mix({"crop_b": 0.45, "soil_a": 0.35, "shrub": 0.2}, {"crop_b": 0.4, "soil_b": 0.6}, texture=0.04)
    orchard = mix({"tree": 0.6, "grass": 0.4}, {"tree": 0.45, "soil_a": 0.2, "grass": 0.35}, texture=0.09)
    young = mix({"soil_b": 0.75, "shrub": 0.25}, {"soil_b": 0.6, "dry_grass": 0.25, "shrub": 0.15})
    grassy = mix({"dry_grass": 0.5, "grass": 0.5}, {"grass": 0.8, "soil_a": 0.2})
    kinds = [_crop_cover(row) for row in (grove, vines, orchard, young, grassy)] + [BARE_B, STUBBLE]
    weights = np.array([0.8, 1.0, 0.5 + 0.8 * (1 - dry), 0.3 + 0.7 * dry, 0.35, 0.15 + 0.5 * dry, 0.3 * dry]) * np.exp(
        rng.normal(0, 0.6, 7)
    )
    narrow = float(rng.uniform(18, 45))
    ids, edge = parcels(rng, scene.axis.angle_rad, (narrow, narrow * float(rng.uniform(2.0, 4.5))), (70, 260), float(rng.uniform(0, 24)))
    canvas.paint_table(ids, parcel_rows(rng, kinds, list(weights), 0.12, stripes=0.4))
    if rng.random() < 0.75:
        canvas.paint(edge < rng.uniform(1.5, 4.0), TRACK if rng.random() < 0.75 else GRASS)
    if rng.random() < 0.35:
        trees(rng, canvas, float(rng.uniform(0.03, 0.2)), int(rng.choice([4, 8, 16])))
    if rng.random() < 0.2:
        village = smooth(rng, 3) > 0.9
        houses(rng, canvas, scene.axis.angle_rad, (16, 16), (0.4, 0.8), [mix({"red_roof": 1}, {"gravel": 1})], 0.7, village)
    stamp(scene, canvas)
    return canvas


def _crop_cover(row: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return `row` labelled as crops: planted trees and vines are crops, whatever stands between them."""
    labelled = row.copy()
    labelled[-6] = GREEN[-6]
    return labelled


def solar(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Rows of dark panels in large arrays among fields."""
    canvas = annual_background(scene, rng)
    stamp(scene, canvas)
    return canvas


def annual_background(scene: Scene, rng: np.random.Generator) -> Canvas:
    """Return fields, wood and grass as they surround other things: quieter than a scene about them."""
    canvas = Canvas(GRASS)
    ids, edge = parcels(rng, float(rng.uniform(0, 6.28)), (70, 260), (110, 420), float(rng.uniform(0, 25)))
    weights = np.array([*_field_weights(scene.vigour, rng), 1.2])
    canvas.paint_table(ids, parcel_rows(rng, (*FIELD_KINDS, GRASS), list(weights), 0.08, contrast_range=(0.3, 0.95)))
    if rng.random() < 0.5:
        canvas.paint((edge < rng.uniform(2, 6)) & (smooth(rng, 16) > 0), HEDGE)
    trees(rng, canvas, float(rng.uniform(0.005, 0.08)), int(rng.choice([24, 40])))
    share = float(rng.choice([0.0, 0.06, 0.25, 0.5, 0.85]))
    if share:
        trees(rng, canvas, share, int(rng.choice([2, 4, 8])))
    if rng.random() < 0.5:
        hamlet = smooth(rng, 4) > rng.uniform(0.8, 1.8)
        roofs = [mix({"red_roof": 1}), mix({"grey_roof": 1}), mix({"concrete": 0.8, "white_roof": 0.2})]
        houses(rng, canvas, scene.axis.angle_rad, (17, 20), (0.35, 0.8), roofs, 0.55, hamlet)
    return canvas
