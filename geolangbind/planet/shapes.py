"""Shapes that layouts are made of: parcels, streets with houses, long curves, stamped things."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geolangbind.planet.canvas import Canvas, Mask, mix
from geolangbind.planet.noise import FOOTPRINT_M, Map, rotated, smooth
from geolangbind.planet.objects import SceneObject
from geolangbind.planet.scene import Scene

Ids = NDArray[np.int32]
PARCEL_IDS = 256
"""Parcels are numbered modulo this: tables of kinds have that many rows."""


def parcels(
    rng: np.random.Generator, angle: float, width_m: tuple[float, float], length_m: tuple[float, float], warp_m: float
) -> tuple[Ids, Map]:
    """Divide the scene into strips of random widths, cut into parcels.

    Args:
        rng: source of randomness.
        angle: direction of the strips in radians.
        width_m: narrowest and widest strip.
        length_m: shortest and longest parcel; drawn anew for each strip.
        warp_m: how far boundaries wander.

    Returns:
        Parcel numbers in [0, PARCEL_IDS) and the distance to the nearest boundary in metres, each (GRID, GRID).
    """
    u, v = rotated(angle)
    if warp_m > 0:
        u = u + np.float32(warp_m) * smooth(rng, 3)
        v = v + np.float32(warp_m) * smooth(rng, 3)
    widths = np.exp(rng.uniform(np.log(width_m[0]), np.log(width_m[1]), int(1300 / width_m[0]) + 2)).astype(np.float32)
    cuts = np.cumsum(widths) - np.float32(600 + rng.uniform(0, width_m[1]))
    strip = np.clip(np.searchsorted(cuts, u.ravel()).reshape(u.shape), 1, len(cuts) - 1)
    across = np.minimum(u - cuts[strip - 1], cuts[strip] - u)
    lengths = np.exp(rng.uniform(np.log(length_m[0]), np.log(length_m[1]), len(cuts))).astype(np.float32)
    offsets = rng.uniform(0, 3000, len(cuts)).astype(np.float32)
    run = (v + 1000 + offsets[strip]) / lengths[strip]
    number = np.floor(run)
    inside = run - number
    along = np.minimum(inside, 1 - inside) * lengths[strip]
    ids = (strip * 37 + number.astype(np.int32) * 11) % PARCEL_IDS
    return ids.astype(np.int32), np.minimum(across, along)


def parcel_rows(
    rng: np.random.Generator,
    kinds: Sequence[Map],
    weights: Sequence[float],
    spread: float,
    stripes: float = 0.0,
    contrast_range: tuple[float, float] = (0.35, 1.0),
) -> Map:
    """Draw the row of every parcel: a blend of two kinds, brighter or darker by `spread`, some with rows of amplitude `stripes`."""
    table = np.stack(kinds)
    chance = np.asarray(weights, float) / sum(weights)
    first, second = (rng.choice(len(kinds), PARCEL_IDS, p=chance) for _ in range(2))
    share = (rng.random(PARCEL_IDS) ** 2 * 0.5).astype(np.float32)[:, None]
    rows = table[first] * (1 - share) + table[second] * share
    half = (rows.shape[1] - 6) // 2
    # Neighbours resemble each other: some scenes are nearly of one colour, in others every parcel differs.
    common = np.asarray(chance, np.float32) @ table
    contrast = np.float32(rng.uniform(*contrast_range))
    rows[:, : 2 * half] = common[: 2 * half] * (1 - contrast) + rows[:, : 2 * half] * contrast
    rows[:, : 2 * half] *= np.exp(rng.normal(0, spread, PARCEL_IDS)).astype(np.float32)[:, None]
    rows[:, 2 * half] = table[first, 2 * half]
    rows[:, 2 * half + 1] += rng.normal(0, 1.0, PARCEL_IDS)
    rows[:, 2 * half + 2] += rng.normal(0, 1.0, PARCEL_IDS)
    along = rng.random(PARCEL_IDS) < 0.5
    rows[:, -2] = np.where(along, stripes, 0) * rng.random(PARCEL_IDS)
    rows[:, -1] = np.where(along, 0, stripes) * rng.random(PARCEL_IDS)
    return rows.astype(np.float32)


def line_distance(angle: float, offset_m: float, curvature: float, waviness: Map | float = 0.0) -> tuple[Map, Map]:
    """Return the signed distance v in metres from a bent line and the place u along it, each (GRID, GRID)."""
    u, v = rotated(angle)
    bent = v - np.float32(offset_m) - np.float32(0.5 * curvature) * u * u - waviness
    return np.asarray(bent, np.float32), u


def axis_distance(scene: Scene, waviness: Map | float = 0.0) -> tuple[Map, Map]:
    """Return `line_distance` of the scene's axis."""
    axis = scene.axis
    return line_distance(axis.angle_rad, axis.offset_m, axis.curvature_per_m, waviness)


def line_to(scene: Scene, x_m: float, y_m: float) -> float:
    """Return the signed distance in metres of one place from the scene's axis, the same curve as `axis_distance` draws."""
    axis = scene.axis
    cos, sin = np.cos(axis.angle_rad), np.sin(axis.angle_rad)
    x, y = x_m - FOOTPRINT_M / 2, y_m - FOOTPRINT_M / 2
    u, v = x * cos + y * sin, y * cos - x * sin
    return float(v - axis.offset_m - 0.5 * axis.curvature_per_m * u * u)


def houses(
    rng: np.random.Generator,
    canvas: Canvas,
    angle: float,
    pitch_m: tuple[float, float],
    fill: tuple[float, float],
    roofs: Sequence[Map],
    density: float,
    where: Mask | None = None,
    block_m: tuple[float, float] = (70, 130),
    street: Map | None = None,
    street_m: float = 7.0,
) -> None:
    """Paint streets and buildings: one building or none in each cell of a turned lattice, its size, place and roof by table look-up.

    Args:
        rng: source of randomness.
        canvas: painted on.
        angle: direction of the streets in radians.
        pitch_m: size of a lot along and across.
        fill: smallest and largest share of a lot's side that a building takes.
        roofs: rows to choose from.
        density: share of lots with a building.
        where: where at all.
        block_m: shortest and longest distance between streets.
        street: row of streets; none if None.
        street_m: their width.
    """
    u, v = rotated(angle)
    # Real street plans bend: without the warp every town is a perfect lattice.
    bend = np.float32(rng.uniform(0, 14))
    u, v = u + bend * smooth(rng, 2) + 1500, v + bend * smooth(rng, 2) + 1500
    lot_u, lot_v = u / pitch_m[0], v / pitch_m[1]
    iu, iv = np.floor(lot_u).astype(np.int32), np.floor(lot_v).astype(np.int32)
    key = (iu * 53 + iv * 101) % 509
    size = rng.uniform(*fill, (2, 509)).astype(np.float32)
    slack = (1 - size) * rng.random((2, 509), np.float32)
    fu, fv = lot_u - iu, lot_v - iv
    inside = (fu > slack[0][key]) & (fu < (slack[0] + size[0])[key]) & (fv > slack[1][key]) & (fv < (slack[1] + size[1])[key])
    inside &= (rng.random(509) < density)[key]
    if where is not None:
        inside &= where
    table = np.stack(roofs)[rng.integers(0, len(roofs), 509)]
    table[:, : table.shape[1] - 6] *= np.exp(rng.normal(0, 0.22, 509)).astype(np.float32)[:, None]
    if street is not None:
        block_u, block_v = rng.uniform(*block_m, 2)
        lanes = (np.mod(u, block_u) < street_m) | (np.mod(v, block_v) < street_m)
        canvas.paint(lanes if where is None else lanes & where, street)
        inside &= ~lanes
    canvas.paint_table(key, table, inside)


_COLOURS = {"white": "white_roof", "grey": "grey_roof", "red": "red_roof", "blue": "blue_roof", "dark": "asphalt", "green": "grass"}
_GROUND_OF = {
    "pond": mix({"water": 1}),
    "pivot": mix({"crop_a": 1}, {"crop_a": 0.8, "crop_b": 0.2}),
    "field": mix({"grass": 1}, texture=0.03),
    "clearing": mix({"grass": 0.6, "soil_a": 0.4}, {"grass": 0.8, "shrub": 0.3}, texture=0.06),
    "array": mix({"panel": 0.72, "grass": 0.28}, rough_db=1.0),
    "pit": mix({"gravel": 0.6, "sand": 0.5}, {"gravel": 1}, texture=0.05),
    "grove": mix({"tree": 0.8, "tree_b": 0.2}, {"tree": 0.5, "tree_b": 0.5}, texture=0.12),
    "lot": mix({"asphalt": 1}, {"asphalt": 0.8, "concrete": 0.2}),
}


def stamp(scene: Scene, canvas: Canvas, kinds: Sequence[str] = ()) -> None:
    """Paint the scene's things, all of them or only those of some kinds, with the shadow of tall ones beside them."""
    sun = np.radians(scene.sun_azimuth_deg)
    for thing in scene.objects:
        if kinds and thing.kind not in kinds:
            continue
        u, v = rotated(thing.angle_rad, *thing.center_m)
        a, b = thing.length_m / 2, thing.width_m / 2
        if thing.kind in ("warehouse", "terminal", "block", "tank"):
            length = 9.0 / np.tan(np.radians(max(scene.sun_elevation_deg, 25)))
            x, y = thing.center_m[0] - length * np.sin(sun), thing.center_m[1] + length * np.cos(sun)
            us, vs = rotated(thing.angle_rad, float(x), float(y))
            canvas.paint(_inside(us, vs, a, b, thing), mix({"shade": 0.6, "asphalt": 0.4}))
        if thing.kind == "aircraft":
            body = (np.abs(v) < 3.5) & (np.abs(u) < a)
            wings = (np.abs(u + 0.25 * np.abs(v)) < 4.5) & (np.abs(v) < b)
            canvas.paint(body | wings, mix({"white_roof": 1}, rough_db=4.0))
            continue
        roof = _COLOURS[thing.colour]
        row = _GROUND_OF.get(thing.kind, mix({roof: 1}, {roof: 0.8, "grey_roof": 0.2}, rough_db=6.0 if thing.kind == "ship" else 2.0))
        canvas.paint(_inside(u, v, a, b, thing), row)


def footprint(thing: SceneObject) -> Mask:
    """Return the cells that a thing covers, (GRID, GRID)."""
    u, v = rotated(thing.angle_rad, *thing.center_m)
    return _inside(u, v, thing.length_m / 2, thing.width_m / 2, thing)


def _inside(u: Map, v: Map, a: float, b: float, thing: SceneObject) -> Mask:
    if thing.round:
        return np.asarray((u / a) ** 2 + (v / b) ** 2 < 1)
    # Ships taper at the bow.
    side = b * np.clip(2.2 * (1 - np.abs(u) / a), 0, 1) if thing.kind == "ship" else b
    return np.asarray((np.abs(u) < a) & (np.abs(v) < side))


def trees(rng: np.random.Generator, canvas: Canvas, share: float, clump: int, where: Mask | None = None) -> None:
    """Paint tree clumps over `share` of the ground, `clump` bumps across the scene, where allowed."""
    noise = smooth(rng, clump) + 0.7 * smooth(rng, min(clump * 2, 128))
    mask = noise > np.quantile(noise[::4, ::4], 1 - share)
    canvas.paint(mask if where is None else mask & where, mix({"tree": 0.8, "tree_b": 0.2}, {"tree": 0.5, "tree_b": 0.5}, texture=0.12))
