"""Place rows: an image, and what is said of it, asks for latitude and longitude; a place and a day ask for the image."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
from scipy.spatial import cKDTree

from geolangbind.demo_interleaved.split import Split, image_of, ranking, row, some
from geolangbind.instruct.row import RankingRow, Row
from geolangbind.instruct.segments_json import key_of
from geolangbind.interleaved.segments import Date, GeoPoint, Segment, Text
from geolangbind.planet.language import captions
from geolangbind.planet.scene import Scene

NEAR_KM = 300.0
"""Places nearer than this to each other are not told apart: neither counts as wrong for the other."""

_EARTH_KM = 6371.0
_COORDINATES = ("latitude", "hemisphere")
_CAPTIONS = 5  # as many as a sample holds
_NAMED = 0.75  # share of the texts to train on that name the latitude


def _point(scene: Scene) -> GeoPoint:
    return GeoPoint(scene.place.lat, scene.place.lon)


def _near(scenes: list[Scene]) -> list[list[int]]:
    """Return for each scene the others within `NEAR_KM`."""
    lat, lon = np.radians([[scene.place.lat, scene.place.lon] for scene in scenes]).T
    where = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], 1)
    chord = 2 * np.sin(NEAR_KM / _EARTH_KM / 2)
    return [[other for other in found if other != n] for n, found in enumerate(cKDTree(where).query_ball_point(where, chord))]


def _told(scene: Scene, coordinates: bool) -> tuple[Segment, ...]:
    """Return a caption that names no coordinates, with the latitude behind it if `coordinates` asks for it, and the day."""
    silent = [caption for caption in captions(scene, "rgb", _CAPTIONS) if not any(word in caption for word in _COORDINATES)]
    said = [*silent[:1], *([f"at latitude {_latitude(scene)}"] if coordinates else [])]
    return (*([Text(", ".join(said))] if said else []), Date(_day(scene)))


def _latitude(scene: Scene) -> str:
    degrees = round(scene.place.lat)
    return f"{abs(degrees)} {'north' if degrees >= 0 else 'south'}"


def _day(scene: Scene) -> dt.date:
    return scene.date.date()


def place_rows(split: Split) -> Iterator[Row]:
    """Yield [image] -> place and, of every second scene, [image, caption, day] -> place: of staged scenes and of ordinary ones."""
    scenes = [split.scene(index) for index in range(split.staged)] + [split.ordinary_scene(index) for index in range(split.ordinary)]
    for number, (scene, near) in enumerate(zip(scenes, _near(scenes), strict=True)):
        rng = split.rng("place", number)
        true = {key_of((_point(scenes[other]),)) for other in near}
        told = _told(scene, coordinates=bool(rng.random() < _NAMED)) if number % 2 else ()
        group = "image and text" if told else "image"
        yield row("place", f"place-{number}", rng, (image_of(scene), *told), (_point(scene),), true=true, group=group)


def place_to_image_rows(split: Split, every: int) -> Iterator[Row]:
    """Yield [place, day] -> image of one in `every` scenes."""
    scenes = [split.scene(index) for index in range(0, split.staged, every)]
    for number, (scene, near) in enumerate(zip(scenes, _near(scenes), strict=True)):
        true = {key_of((image_of(scenes[other]),)) for other in near}
        query, rng = (_point(scene), Date(_day(scene))), split.rng("place-to-image", number)
        yield row("place_to_image", f"place-to-image-{number}", rng, query, (image_of(scene),), true=true)


def place_rankings(split: Split, count: int, candidates: int) -> dict[str, list[RankingRow]]:
    """Return queries of the same scenes and candidates with more and less to go by.

    `place`: the image; `place_with_text`: image, a caption with the latitude, and the day; `place_text_only`: the same without the image;
    `place_coordinates_removed`: image, caption and day, no latitude.
    """
    scenes = [split.scene(index) for index in range(split.staged)]
    apart = _near(scenes)
    found: dict[str, list[RankingRow]] = {}
    for number, scene in enumerate(scenes[:count]):
        pool = sorted(set(range(len(scenes))) - {number, *apart[number]})
        wrong = [(_point(scenes[other]),) for other in some(split.rng("place-candidates", number), pool, candidates - 1)]
        image = image_of(scene)
        queries: dict[str, tuple[Segment, ...]] = {
            "place": (image,),
            "place_with_text": (image, *_told(scene, coordinates=True)),
            "place_text_only": _told(scene, coordinates=True),
            "place_coordinates_removed": (image, *_told(scene, coordinates=False)),
        }
        for name, query in queries.items():
            rng = split.rng("place-order", number)
            found.setdefault(name, []).append(ranking("place", f"{name}-{number}", rng, query, [(_point(scene),)], wrong))
    return found
