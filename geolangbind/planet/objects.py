"""Things in a scene: what they are, where, how large, of which colour, and how they lie to each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geolangbind.planet.noise import FOOTPRINT_M


@dataclass(frozen=True)
class SceneObject:
    """One thing on the ground.

    Attributes:
        kind: "warehouse", "tank", "ship", ... the keys of `_KINDS`.
        colour: "white", "grey", "red", "blue", "dark" or "green".
        size: "small", "medium" or "large", within its kind.
        center_m: x to the east and y to the south from the north-west corner.
        length_m: extent along `angle_rad`.
        width_m: extent across.
        angle_rad: direction of the length.
        round: True for an ellipse, False for a rectangle.
        height_m: how far it stands above the ground in the surface model, negative for a hole; 0 leaves the ground as its relief has it.
    """

    kind: str
    colour: str
    size: str
    center_m: tuple[float, float]
    length_m: float
    width_m: float
    angle_rad: float
    round: bool
    height_m: float = 0.0

    @property
    def box_m(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in metres from the north-west corner, cut at the scene's edge."""
        cos, sin = abs(math.cos(self.angle_rad)), abs(math.sin(self.angle_rad))
        half_x = (self.length_m * cos + self.width_m * sin) / 2
        half_y = (self.length_m * sin + self.width_m * cos) / 2
        x, y = self.center_m
        return (max(x - half_x, 0.0), max(y - half_y, 0.0), min(x + half_x, FOOTPRINT_M), min(y + half_y, FOOTPRINT_M))


# kind: (shortest, longest in m, width over length low, high, round, colours)
_KINDS: dict[str, tuple[float, float, float, float, bool, tuple[str, ...]]] = {
    "warehouse": (50, 170, 0.35, 0.8, False, ("white", "grey", "grey", "blue", "red", "dark", "dark")),
    "tank": (30, 65, 1.0, 1.0, True, ("white", "grey", "white")),
    "ship": (40, 160, 0.16, 0.26, False, ("white", "red", "blue", "grey", "dark")),
    "aircraft": (35, 60, 0.75, 0.95, False, ("white",)),
    "terminal": (120, 260, 0.2, 0.35, False, ("grey", "white")),
    "pond": (25, 110, 0.5, 1.0, True, ("dark",)),
    "farm": (16, 42, 0.4, 0.8, False, ("red", "grey", "red", "grey", "white")),
    "pivot": (380, 620, 1.0, 1.0, True, ("green",)),
    "block": (40, 100, 0.25, 0.5, False, ("grey", "grey", "dark", "white", "red")),
    "field": (70, 220, 0.4, 0.9, False, ("green",)),
    "array": (150, 330, 0.45, 0.9, False, ("blue",)),
    "clearing": (60, 200, 0.4, 1.0, True, ("green",)),
}

# layout: (kind, fewest, most) drawn in this order
_CONTENT: dict[str, tuple[tuple[str, int, int], ...]] = {
    "annual": (("pivot", -5, 1), ("farm", -3, 2)),
    "forest": (("clearing", -3, 1),),
    "herbaceous": (("pond", -6, 1),),
    "highway": (("farm", -1, 3), ("warehouse", -9, 2)),
    "industrial": (("tank", -5, 7), ("warehouse", 2, 8)),
    "pasture": (("pond", -4, 1), ("farm", -2, 3)),
    "permanent": (("farm", -2, 4),),
    "residential": (("block", -8, 6), ("field", -4, 1)),
    "river": (("farm", -1, 3), ("warehouse", -9, 3), ("ship", -6, 2)),
    "sea": (("ship", -14, 3),),
    "desert": (("pond", -12, 1),),
    "wetland": (("pond", 2, 7),),
    "harbour": (("ship", 2, 8), ("warehouse", 2, 5)),
    "airport": (("terminal", 1, 1), ("aircraft", 2, 9)),
    "solar": (("array", 2, 5), ("farm", -2, 1)),
    "steppe": (("pond", -6, 2),),
}


def draw_axis(rng: np.random.Generator, layout: str) -> tuple[float, float, float, float]:
    """Draw angle (rad), offset (m), curvature (1/m) and width (m) of the main line of a scene."""
    angle = float(rng.uniform(0, 2 * math.pi))
    offset = float(rng.uniform(-130, 130))
    curvature = float(rng.normal(0, 0.0005))
    match layout:
        case "highway":
            width = float(rng.uniform(12, 38))
            offset *= 0.9
        case "river":
            width = float(np.exp(rng.uniform(np.log(65), np.log(290))))
            curvature *= 1.4
        case "harbour" | "beach":
            width, curvature = float(rng.uniform(30, 110)), curvature * (1.5 if layout == "beach" else 0.0)
        case "airport":
            width, curvature = float(rng.uniform(40, 62)), 0.0
        case _:
            width = float(rng.uniform(5, 14))
    return round(angle, 5), round(offset, 2), round(curvature, 8), round(width, 2)


def _side_ok(kind: str, layout: str, v: float, half: float, width: float) -> bool:
    """Return whether a thing of half size `half` at distance `v` from the axis stands where such things stand."""
    if layout == "harbour":
        return v > half * 0.3 + 12 if kind == "ship" else v < -half
    if layout == "river" and kind == "ship":
        return abs(v) < max(width / 2 - 14, 4)
    if layout in ("river", "highway"):
        return abs(v) > width / 2 + half + 10
    if layout == "airport":
        return (90 if kind == "aircraft" else 170) < v < (160 if kind == "aircraft" else 260)
    return True


def draw_objects(rng: np.random.Generator, layout: str, angle: float, offset: float, width: float) -> tuple[SceneObject, ...]:
    """Draw the things of a scene without overlap; those that find no room are left out."""
    placed: list[SceneObject] = []
    cos, sin = math.cos(angle), math.sin(angle)
    for kind, fewest, most in _CONTENT.get(layout, ()):
        shortest, longest, thin, thick, is_round, colours = _KINDS[kind]
        for _ in range(max(int(rng.integers(fewest, most + 1)), 0)):
            share = float(rng.random())
            length = shortest * (longest / shortest) ** share
            breadth = length * float(rng.uniform(thin, thick))
            turn = 0.0 if layout in ("harbour", "airport", "river") else float(rng.choice([0.0, math.pi / 2]))
            colour = colours[int(rng.integers(len(colours)))]
            size = ("small", "medium", "large")[min(int(share * 3), 2)]
            for _attempt in range(6):
                x, y = (float(c) for c in rng.uniform(30, FOOTPRINT_M - 30, 2))
                v = (y - FOOTPRINT_M / 2) * cos - (x - FOOTPRINT_M / 2) * sin - offset
                thing = SceneObject(
                    kind, colour, size, (round(x, 1), round(y, 1)), round(length, 1), round(breadth, 1), round(angle + turn, 4), is_round
                )
                if _side_ok(kind, layout, v, (breadth if turn == 0 else length) / 2, width) and not any(_overlap(thing, o) for o in placed):
                    placed.append(thing)
                    break
    return tuple(placed)


def _overlap(a: SceneObject, b: SceneObject) -> bool:
    ax0, ay0, ax1, ay1 = a.box_m
    bx0, by0, bx1, by1 = b.box_m
    return ax0 < bx1 + 5 and bx0 < ax1 + 5 and ay0 < by1 + 5 and by0 < ay1 + 5


def relation(a: SceneObject, b: SceneObject) -> str:
    """Return how `a` lies to `b`: "north of", "south of", "east of" or "west of", by the larger distance of the centres."""
    dx, dy = a.center_m[0] - b.center_m[0], a.center_m[1] - b.center_m[1]
    if abs(dx) > abs(dy):
        return "east of" if dx > 0 else "west of"
    return "south of" if dy > 0 else "north of"
