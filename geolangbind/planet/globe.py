"""Global fields of the planet: smooth deterministic functions of latitude and longitude that decide what lies where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Waves on the unit sphere: wave vector x, y, z in half cycles per radius, phase, amplitude. Fixed, so the planet is always the same one.
_LAND = (
    (1.1, 0.4, 0.6, 0.3, 1.0),
    (-0.7, 1.9, 0.8, 1.7, 0.8),
    (2.3, -1.1, 1.9, 4.1, 0.5),
    (-3.1, 2.7, 3.3, 2.2, 0.35),
    (5.3, 4.1, -4.7, 0.9, 0.2),
)
_RELIEF = ((2.1, 1.3, -1.7, 0.8, 1.0), (-3.9, 2.2, 3.1, 2.9, 0.7), (6.1, -5.3, 4.9, 5.1, 0.5), (9.7, 8.3, 7.1, 1.3, 0.3))
_RAIN = ((0.9, -1.2, 0.5, 1.1, 0.7), (-2.6, 1.7, 2.9, 3.7, 0.5), (4.7, 5.1, -3.3, 0.2, 0.3))
_PEOPLE = ((1.7, 2.3, 1.1, 2.6, 0.8), (-4.3, 3.9, 5.7, 0.5, 0.6), (8.9, -7.7, 6.3, 4.4, 0.5))
_SOIL = ((1.9, -2.1, 1.3, 5.5, 1.0), (5.1, 3.7, -2.9, 1.9, 0.6))

Field = NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """Where a scene lies and what the global fields say there.

    Attributes:
        lat: latitude in degrees.
        lon: longitude in degrees.
        coast: closeness to a coast, 0 far inland or out at sea to 1 on it.
        land: above 0 on land, below at sea.
        warmth: yearly mean temperature, 0 polar to 1 tropical.
        moisture: 0 arid to 1 humid.
        relief: 0 flat to 1 mountainous.
        population: 0 empty to 1 dense.
        soil: -1 grey to 1 red soils.
    """

    lat: float
    lon: float
    coast: float
    land: float
    warmth: float
    moisture: float
    relief: float
    population: float
    soil: float


def _waves(lat: Field, lon: Field, waves: tuple[tuple[float, ...], ...]) -> Field:
    """Return the sum of plane waves, cut by the sphere, at the places; about zero mean and unit spread."""
    phi, theta = np.radians(lat), np.radians(lon)
    x, y, z = np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)
    total = sum(a * np.sin(2 * np.pi * 0.5 * (kx * x + ky * y + kz * z) + phase) for kx, ky, kz, phase, a in waves)
    return np.asarray(total / np.sqrt(0.5 * sum(wave[4] ** 2 for wave in waves)))


def _squash(value: Field) -> Field:
    return 1 / (1 + np.exp(-1.7 * value))


def fields(lat: Field, lon: Field) -> dict[str, Field]:
    """Return every global field at the places, as in `Place`, by name.

    Args:
        lat: latitudes in degrees, any shape.
        lon: longitudes in degrees, same shape.
    """
    land = _waves(lat, lon, _LAND) + 0.2
    relief = _squash(_waves(lat, lon, _RELIEF) - 0.4)
    # Dry belts near 25 degrees, wet tropics and westerlies, as on Earth.
    belt = 0.9 * np.cos(np.radians(lat) * 6.5) + 0.3
    rain = _squash(belt + 0.8 * _waves(lat, lon, _RAIN))
    warmth = np.clip(np.cos(np.radians(lat)) ** 1.3 * 1.12 - 0.08 - 0.2 * relief, 0, 1)
    people = _squash(1.1 * _waves(lat, lon, _PEOPLE) + 1.5 * (rain - 0.4) + 2.5 * (warmth * (1.3 - warmth) - 0.2) - relief)
    return {
        "coast": np.exp(-((land / 0.25) ** 2)),
        "land": land,
        "warmth": warmth,
        "moisture": rain,
        "relief": relief,
        "population": people,
        "soil": np.tanh(_waves(lat, lon, _SOIL)),
    }


def _suitability(habitat: str, at: dict[str, Field]) -> Field:
    """Return how well each place suits a habitat, >= 0."""
    on_land = _squash(6 * (at["land"] - 0.1))
    temperate = np.exp(-(((at["warmth"] - 0.62) / 0.22) ** 2))
    match habitat:
        case "lowland":
            return on_land * temperate * at["population"] * (1 - at["relief"]) * (at["moisture"] + 0.1)
        case "upland":
            return on_land * temperate * (0.2 + at["relief"]) * (at["moisture"] + 0.1)
        case "woods":
            return on_land * at["moisture"] ** 2 * (1.2 - at["population"]) * (at["warmth"] > 0.2)
        case "coast":
            return at["coast"] * (at["warmth"] > 0.25) * (0.3 + at["population"])
        case "open_water":
            return (at["coast"] + (at["land"] < 0) * 0.3) * (at["warmth"] > 0.2)
        case "arid":
            return on_land * (1 - at["moisture"]) ** 3 * (at["warmth"] > 0.45)
        case "mountain":
            return on_land * at["relief"] ** 3 * (at["warmth"] > 0.15)
        case "polar":
            return on_land * (1.02 - at["warmth"]) ** 4 * (0.3 + at["relief"])
        case _:
            return on_land * at["moisture"] * (1 - at["relief"]) * at["coast"] * (at["warmth"] > 0.2) + 1e-4 * on_land


def draw_place(rng: np.random.Generator, habitat: str) -> Place:
    """Draw a place among 96 random ones, each as likely as it suits `habitat`."""
    lat = np.degrees(np.arcsin(rng.uniform(-0.96, 0.96, 96)))
    lon = rng.uniform(-180, 180, 96)
    at = fields(lat, lon)
    weight = _suitability(habitat, at) + 1e-6
    chosen = int(np.searchsorted(np.cumsum(weight / weight.sum()), rng.random()))
    chosen = min(chosen, 95)
    return Place(
        lat=round(float(lat[chosen]), 5), lon=round(float(lon[chosen]), 5), **{name: round(float(v[chosen]), 4) for name, v in at.items()}
    )
