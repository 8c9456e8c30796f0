"""The scene record: everything that pixels, captions and masks are functions of, drawn from (seed, index)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from geolangbind.errors import SettingsError
from geolangbind.planet.globe import Place, draw_place
from geolangbind.planet.groups import CLASSES
from geolangbind.planet.noise import FOOTPRINT_M
from geolangbind.planet.objects import SceneObject, draw_axis, draw_objects

_STREAMS = {
    "scene": 0,
    "layout": 1,
    "terrain": 2,
    "palette": 3,
    "sar": 4,
    "ir": 5,
    "rgb": 6,
    "msi": 7,
    "hsi": 8,
    "dem": 9,
    "text": 10,
    "product": 11,
    "stage": 12,
    "change": 13,
}
_PER_VISIT = ("sar", "ir", "rgb", "msi", "hsi", "dem")
"""Streams of noise and air, drawn anew whenever a place is looked at again."""


@dataclass(frozen=True)
class ClassSpec:
    """What a class is made of.

    Attributes:
        layout: the land-cover grammar, see `layout.LAYOUTS`.
        habitat: where it lies, see `globe`.
        relief: shape of the ground, see `terrain`.
        twist: what sets it apart from the other classes of the same layout; "" for none.
    """

    layout: str
    habitat: str
    relief: str
    twist: str = ""


SPECS: dict[str, ClassSpec] = {
    "annual_crop": ClassSpec("annual", "lowland", "flat"),
    "forest": ClassSpec("forest", "woods", "canopy"),
    "herbaceous_vegetation": ClassSpec("herbaceous", "upland", "hills"),
    "highway": ClassSpec("highway", "lowland", "embankment"),
    "industrial": ClassSpec("industrial", "lowland", "halls"),
    "pasture": ClassSpec("pasture", "upland", "hills"),
    "permanent_crop": ClassSpec("permanent", "upland", "hills"),
    "residential": ClassSpec("residential", "lowland", "houses"),
    "river": ClassSpec("river", "lowland", "valley"),
    "sea_lake": ClassSpec("sea", "open_water", "sea"),
    "desert": ClassSpec("desert", "arid", "dunes"),
    "beach": ClassSpec("beach", "coast", "shore"),
    "wetland": ClassSpec("wetland", "wet", "marsh"),
    "snow": ClassSpec("snow", "polar", "dome"),
    "bare_rock": ClassSpec("rock", "mountain", "mountains"),
    "harbour": ClassSpec("harbour", "coast", "quay"),
    "airport": ClassSpec("airport", "lowland", "airfield"),
    "solar_farm": ClassSpec("solar", "lowland", "flat"),
    "flooded_forest": ClassSpec("forest", "woods", "canopy", "flooded"),
    "stressed_crops": ClassSpec("annual", "lowland", "flat", "stressed"),
    "hot_industry": ClassSpec("industrial", "lowland", "halls", "hot"),
    "mineral_terrain": ClassSpec("rock", "mountain", "mountains", "clay"),
    "gorge": ClassSpec("steppe", "lowland", "gorge"),
    "plain": ClassSpec("steppe", "lowland", "flat"),
}


@dataclass(frozen=True)
class Axis:
    """The line that orders a scene: a road, river, shore, runway.

    Attributes:
        angle_rad: direction of the line, 0 to the east, clockwise on the ground plane.
        offset_m: distance of the line from the scene's centre.
        curvature_per_m: 1 / radius of the bend, signed.
        width_m: width of what runs along it.
    """

    angle_rad: float
    offset_m: float
    curvature_per_m: float
    width_m: float


@dataclass(frozen=True)
class Scene:
    """One 640 m x 640 m scene. Frozen; equal (seed, index) gives an equal record on every machine.

    Attributes:
        seed: seed of the planet.
        index: number of the scene.
        scene_class: one of `groups.CLASSES`.
        place: latitude, longitude and the global fields there.
        date: local time of the picture, UTC-stamped.
        season: "spring", "summer", "autumn" or "winter" in that hemisphere.
        sun_elevation_deg: height of the sun.
        sun_azimuth_deg: direction of the sun, clockwise from north.
        vigour: how green vegetation is, 0 to 1.
        axis: main line of the scene.
        objects: things with box, kind, colour and size, in drawing order.
        staged: the things were put onto whatever ground is there (see `staged.py`) and are painted over it.
        visit: 0, or how many times the place was looked at before; ground and materials stay, noise and air change.
    """

    seed: int
    index: int
    scene_class: str
    place: Place
    date: datetime
    season: str
    sun_elevation_deg: float
    sun_azimuth_deg: float
    vigour: float
    axis: Axis
    objects: tuple[SceneObject, ...]
    staged: bool = False
    visit: int = 0

    @property
    def spec(self) -> ClassSpec:
        """What the scene's class is made of."""
        return SPECS[self.scene_class]

    def rng(self, stream: str) -> np.random.Generator:
        """Return a fresh generator for one purpose, always the same one for the same record and purpose."""
        visit = self.visit if stream in _PER_VISIT else 0
        return generator(self.seed + (visit << 40), self.index, stream)

    def bbox_wgs84(self) -> tuple[float, float, float, float]:
        """Return west, south, east, north of the footprint in degrees."""
        half_lat = FOOTPRINT_M / 2 / 111_320
        half_lon = half_lat / max(float(np.cos(np.radians(self.place.lat))), 0.05)
        return (self.place.lon - half_lon, self.place.lat - half_lat, self.place.lon + half_lon, self.place.lat + half_lat)


def generator(seed: int, index: int, stream: str) -> np.random.Generator:
    """Return the counter-based generator (Philox, Salmon et al. 2011) of one purpose of one scene.

    Raises:
        SettingsError: seed or index is negative.
    """
    if seed < 0 or index < 0:
        raise SettingsError(f"planet seed and index must be >= 0, got seed {seed}, index {index}")
    return np.random.Generator(np.random.Philox(key=np.array([seed, index * 64 + _STREAMS[stream]], np.uint64)))


def class_of(seed: int, index: int) -> str:
    """Return the class of a scene: each run of len(CLASSES) indices holds every class once, in an order drawn from the seed."""
    block, position = divmod(index, len(CLASSES))
    order = np.random.Generator(np.random.Philox(key=np.array([seed, block * 64 + 63], np.uint64))).permutation(len(CLASSES))
    return CLASSES[int(order[position])]


def _sun(lat: float, day: int) -> tuple[float, float]:
    """Return elevation and azimuth of the sun at 10:30 local time, degrees (Cooper's declination)."""
    declination = np.radians(23.45 * np.sin(2 * np.pi * (284 + day) / 365))
    phi, hour = np.radians(lat), np.radians(-22.5)
    sine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    elevation = np.arcsin(np.clip(sine, -1, 1))
    east = -np.cos(declination) * np.sin(hour)
    north = np.cos(phi) * np.sin(declination) - np.sin(phi) * np.cos(declination) * np.cos(hour)
    return max(float(np.degrees(elevation)), 18.0), float(np.degrees(np.arctan2(east, north)) % 360)


def draw_scene(seed: int, index: int, scene_class: str | None = None) -> Scene:
    """Draw the record of scene `index` of the planet `seed`.

    Args:
        seed: seed of the planet, >= 0.
        index: number of the scene, >= 0.
        scene_class: a class to force; by default `class_of` decides.

    Raises:
        SettingsError: unknown class, or a negative seed or index.
    """
    rng = generator(seed, index, "scene")
    name = scene_class or class_of(seed, index)
    if name not in SPECS:
        raise SettingsError(f"unknown planet class '{name}'; classes are {', '.join(CLASSES)}")
    spec = SPECS[name]
    place = draw_place(rng, spec.habitat)
    day = int(rng.integers(60, 330))
    if place.lat < 0:
        day = (day + 182) % 365
    date = datetime(2015 + int(rng.integers(0, 9)), 1, 1, 10, 30, tzinfo=UTC) + timedelta(days=day)
    phase = (day + (182 if place.lat < 0 else 0)) % 365
    season = ("winter", "spring", "summer", "autumn")[int(((phase + 31) % 365) // 91.26)]
    elevation, azimuth = _sun(place.lat, day)
    greening = np.exp(-(((phase - 165) / 85) ** 2))
    vigour = float(np.clip(0.25 + 0.5 * greening * (0.4 + 0.8 * place.moisture) + rng.normal(0, 0.17), 0.05, 1.0))
    axis = Axis(*draw_axis(rng, spec.layout))
    objects = draw_objects(rng, spec.layout, axis.angle_rad, axis.offset_m, axis.width_m)
    return Scene(seed, index, name, place, date, season, round(elevation, 2), round(azimuth, 2), round(vigour, 4), axis, objects)
