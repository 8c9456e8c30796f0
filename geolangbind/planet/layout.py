"""From a scene record to its land-cover map: one function per layout of `scene.SPECS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from geolangbind.planet import layout_built, layout_farmed, layout_wild
from geolangbind.planet.canvas import Canvas, Ground
from geolangbind.planet.noise import fractal, rotated, smooth
from geolangbind.planet.scene import Scene
from geolangbind.planet.shapes import stamp

Layout = Callable[[Scene, np.random.Generator], Canvas]

LAYOUTS: Mapping[str, Layout] = {
    "annual": layout_farmed.annual,
    "pasture": layout_farmed.pasture,
    "permanent": layout_farmed.permanent,
    "solar": layout_farmed.solar,
    "forest": layout_wild.forest,
    "herbaceous": layout_wild.herbaceous,
    "steppe": layout_wild.steppe,
    "desert": layout_wild.desert,
    "beach": layout_wild.beach,
    "wetland": layout_wild.wetland,
    "snow": layout_wild.snow,
    "rock": layout_wild.rock,
    "sea": layout_wild.sea,
    "river": layout_wild.river,
    "highway": layout_built.highway,
    "industrial": layout_built.industrial,
    "residential": layout_built.residential,
    "harbour": layout_built.harbour,
    "airport": layout_built.airport,
}
"""The land-cover grammar of each layout. Each returns a painted canvas."""

_ROW_PERIOD_M = {"permanent": (16.0, 42.0)}


def draw_ground(scene: Scene) -> Ground:
    """Draw the land cover of `scene`: materials, masks and small-scale light, on the 5 m grid."""
    rng = scene.rng("layout")
    canvas = LAYOUTS[scene.spec.layout](replace(scene, objects=()) if scene.staged else scene, rng)
    if scene.staged:
        stamp(scene, canvas)
    blend = fractal(rng, 3, 48, float(rng.uniform(0.7, 0.95)))
    speckle = 0.8 * smooth(rng, 64) + 0.6 * smooth(rng, 128)
    u, v = rotated(scene.axis.angle_rad)
    shortest, longest = _ROW_PERIOD_M.get(scene.spec.layout, (18.0, 60.0))
    period_u, period_v = rng.uniform(shortest, longest, 2)
    stripes = (np.sin(u * np.float32(2 * np.pi / period_u)), np.sin(v * np.float32(2 * np.pi / period_v)))
    return canvas.ground(blend, speckle, stripes, float(rng.uniform(0.01, 0.05)))
