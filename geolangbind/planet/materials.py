"""The planet's materials: mask class, backscatter, warmth and height as a literal table, and spectra drawn per scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geolangbind.planet import spectra
from geolangbind.planet.noise import Map
from geolangbind.planet.scene import Scene

MASK_CLASSES: tuple[str, ...] = (
    "water",
    "trees",
    "grass",
    "crops",
    "bare ground",
    "buildings",
    "pavement",
    "snow",
    "marsh",
    "solar panels",
)
"""Names of the land-cover mask's values, 0 upwards."""


@dataclass(frozen=True)
class Material:
    """One material.

    Attributes:
        cover: mask class, index into `MASK_CLASSES`.
        vv_db: mean sigma0 at C band, vertical transmit and receive, about 39 degrees incidence.
        vh_db: the same for vertical transmit, horizontal receive.
        warm_k: how much warmer than the air its surface is on a clear forenoon with an average sun.
    """

    cover: int
    vv_db: float
    vh_db: float
    warm_k: float


MATERIALS: dict[str, Material] = {
    "crop_a": Material(3, -11.0, -17.5, 3.0),
    "crop_b": Material(3, -12.5, -18.5, 4.5),
    "grass": Material(2, -12.5, -19.5, 4.0),
    "dry_grass": Material(2, -13.5, -21.5, 9.0),
    "shrub": Material(2, -10.5, -16.5, 4.5),
    "tree": Material(1, -8.5, -14.0, 0.5),
    "tree_b": Material(1, -8.0, -13.5, 0.8),
    "soil_a": Material(4, -11.5, -21.0, 12.0),
    "soil_b": Material(4, -14.0, -24.0, 10.0),
    "sand": Material(4, -20.0, -29.0, 15.0),
    "rock_a": Material(4, -9.0, -17.5, 11.0),
    "rock_b": Material(4, -10.5, -19.5, 9.0),
    "asphalt": Material(6, -18.5, -27.0, 14.0),
    "concrete": Material(6, -16.0, -25.0, 11.0),
    "gravel": Material(4, -13.0, -22.5, 12.0),
    "white_roof": Material(5, -4.0, -13.5, 3.0),
    "red_roof": Material(5, -3.5, -11.5, 10.0),
    "grey_roof": Material(5, -4.0, -12.5, 13.0),
    "blue_roof": Material(5, -4.0, -13.0, 7.0),
    "panel": Material(9, -7.0, -21.0, 17.0),
    "snow": Material(7, -13.5, -21.0, -6.0),
    "water": Material(0, -19.0, -28.0, -2.0),
    "reed": Material(8, -8.5, -17.0, 1.0),
    "shade": Material(6, -12.0, -20.0, 3.0),
}
"""Backscatter: typical C-band values (Sentinel-1 land-cover means); warmth: energy balance of a summer forenoon, in round numbers."""

NAMES: tuple[str, ...] = tuple(MATERIALS)


def _green(scene: Scene, z: Map, chlorophyll: float, water_cm: float, dry: float, shade: float) -> Map:
    """Return a canopy with the scene's vigour and the draw `z` (6 standard normals) around the given typical values."""
    vigour = scene.vigour
    return spectra.vegetation(
        chlorophyll=chlorophyll * float(np.exp(0.28 * z[0])) * (0.65 + 0.5 * vigour),
        water_cm=water_cm * float(np.exp(0.25 * z[1])),
        dry=dry * float(np.exp(0.3 * z[2])),
        brown=max(0.35 * (1 - vigour) + 0.12 * float(z[3]), 0.0),
        shade=shade * float(np.exp(0.13 * z[4])),
    )


def _earth(scene: Scene, z: Map, brightness: float, pale: float) -> Map:
    """Return a soil: brighter and redder in dry places with red soils; `pale` is what all soils of the scene share."""
    place = scene.place
    return spectra.soil(
        brightness=brightness * float(np.exp(0.20 * z[0] + 0.30 * pale)) * (1.25 - 0.4 * place.moisture),
        redness=float(np.clip(0.10 + 0.22 * place.soil + 0.25 * z[1], -0.45, 0.8)),
        moisture=float(np.clip(0.2 + 0.35 * place.moisture + 0.25 * z[2] - 0.2, 0.0, 0.9)),
        iron=float(np.clip(0.4 * place.soil + 0.3 * z[3], 0.0, 0.9)),
    )


def _stone(scene: Scene, z: Map, brightness: float) -> Map:
    """Return rock; clay terrain trades the carbonate feature at 2.34 µm for kaolinite at 2.17 and 2.21 µm, of about equal area."""
    clay = scene.spec.twist == "clay"
    depth = float(np.clip(0.42 + 0.06 * z[3], 0.25, 0.6))
    return spectra.rock(
        brightness=brightness * float(np.exp(0.3 * z[0])),
        redness=float(np.clip(0.3 + 0.25 * z[1] + 0.2 * scene.place.soil, -0.1, 0.9)),
        kaolinite=depth if clay else 0.0,
        carbonate=0.0 if clay else depth,
        iron=float(np.clip(0.3 * z[2], 0.0, 0.8)),
        slope=0.4 * float(z[4]),
    )


_GREEN: dict[str, tuple[float, float, float, float]] = {
    "crop_a": (1.4, 0.026, 0.33, 0.76),
    "crop_b": (0.8, 0.018, 0.50, 0.66),
    "grass": (1.05, 0.018, 0.38, 0.67),
    "shrub": (1.0, 0.013, 0.75, 0.46),
    "tree": (1.75, 0.029, 0.36, 0.70),
    "tree_b": (1.8, 0.028, 0.42, 0.51),
    "reed": (0.8, 0.018, 0.70, 0.40),
}
"""Typical chlorophyll, water in cm, dry matter and shadow factor of green canopies, fitted to band means of real Sentinel-2 chips."""
_SOIL_BRIGHTNESS = {"soil_a": 0.19, "soil_b": 0.26}
_ROCK_BRIGHTNESS = {"rock_a": 0.24, "rock_b": 0.15}


def _spectrum(name: str, scene: Scene, z: Map, pale: float) -> Map:
    """Return the spectrum (211,) of one material from six standard normals and the scene's common paleness of dry ground."""
    if name in _GREEN:
        return _green(scene, z, *_GREEN[name])
    if name in _SOIL_BRIGHTNESS:
        return _earth(scene, z, _SOIL_BRIGHTNESS[name], pale)
    if name in _ROCK_BRIGHTNESS:
        return _stone(scene, z, _ROCK_BRIGHTNESS[name])
    match name:
        case "dry_grass":
            brown, shade = float(np.exp(0.1 + 0.3 * z[1])), 0.57 * float(np.exp(0.2 * z[2] + 0.2 * pale))
            return spectra.vegetation(0.10 + 0.04 * abs(float(z[0])), 0.001, 0.9, brown, shade)
        case "sand":
            redness, iron = float(np.clip(0.25 + 0.3 * z[1], -0.1, 0.9)), float(np.clip(0.4 * z[2], 0, 0.8))
            return spectra.soil(0.40 * float(np.exp(0.2 * z[0])), redness, 0.0, iron)
        case "water":
            return _water(scene, z)
        case "snow":
            return spectra.man_made("snow", float(np.clip(0.88 + 0.06 * z[0], 0.6, 1.0)), 0.03 * float(z[1]))
        case _:
            return spectra.man_made(name, float(np.exp(0.24 * z[0])), 0.2 * float(z[1]))


def _water(scene: Scene, z: Map) -> Map:
    """Return the scene's water: rivers and marshes carry more sediment and dissolved matter than the open sea."""
    turbid = {"river": 0.9, "wetland": 0.6, "harbour": 0.3}.get(scene.spec.layout, 0.0)
    return spectra.water(
        sediment=0.011 * float(np.exp(0.9 * turbid + 1.4 * z[0])),
        cdom=0.25 * float(np.exp(0.6 * turbid + 0.9 * z[1])),
        algae=0.07 * float(np.exp(1.2 * z[2])),
        glint=0.0025 * float(np.exp(0.9 * z[3])),
    )


def draw_palette(scene: Scene, names: Sequence[str]) -> Map:
    """Draw the reflectance spectra (len(names), 211) of the scene's materials; each does not depend on which others are asked for.

    Stressed crops keep their visible colour and lose a third to a half of the near infrared.
    """
    rng = scene.rng("palette")
    z = rng.standard_normal((len(NAMES), 6), np.float32)
    stress = float(rng.uniform(0.38, 0.55))
    pale = float(rng.standard_normal())
    rows = [_spectrum(name, scene, z[NAMES.index(name)], pale) for name in names]
    if scene.spec.twist == "stressed":
        rows = [spectra.stressed(row, stress) if MATERIALS[name].cover == 3 else row for name, row in zip(names, rows, strict=True)]
    return np.stack(rows)
