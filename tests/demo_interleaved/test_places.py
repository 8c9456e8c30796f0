"""Place rows: near places are never wrong for each other, and the columns take away what they say."""

import math

from geolangbind.demo_interleaved.places import NEAR_KM, place_rankings, place_rows, place_to_image_rows
from geolangbind.instruct.segments_json import key_of
from geolangbind.interleaved.segments import Date, GeoPoint, Image, Text


def km(a, b):
    """Haversine."""
    lat, lon, other_lat, other_lon = map(math.radians, (a.lat, a.lon, b.lat, b.lon))
    half = math.sin((other_lat - lat) / 2) ** 2 + math.cos(lat) * math.cos(other_lat) * math.sin((other_lon - lon) / 2) ** 2
    return 2 * 6371 * math.asin(math.sqrt(half))


def test_rows(settings) -> None:
    split = settings.split("train")
    scenes = [*map(split.scene, range(split.staged)), *map(split.ordinary_scene, range(split.ordinary))]
    points = [GeoPoint(scene.place.lat, scene.place.lon) for scene in scenes]
    assert [row.query[0].source.shards for row in place_rows(split)] == ["staged"] * split.staged + ["ordinary"] * split.ordinary
    for number, row in enumerate(place_rows(split)):
        assert row.target == (points[number],)
        near = {key_of((other,)) for n, other in enumerate(points) if n != number and km(points[number], other) < NEAR_KM}
        assert row.true == near
        assert [type(segment) for segment in row.query] in ([Image], [Image, Text, Date], [Image, Date])
        assert row.group == ("image" if len(row.query) == 1 else "image and text")
    for row in place_to_image_rows(split, 4):
        image = row.target[0].source
        scene = split.scene(int(image.key.rsplit("-", 1)[1]))
        assert row.query == (GeoPoint(scene.place.lat, scene.place.lon), Date(scene.date.date()))


def test_rankings(settings) -> None:
    split = settings.split("test")
    rankings = place_rankings(split, 20, 30)
    columns = list(zip(*rankings.values(), strict=True))
    assert list(rankings) == ["place", "place_with_text", "place_text_only", "place_coordinates_removed"]
    assert len(columns) == 20
    named = 0
    for rows in columns:
        image, with_text, text_only, removed = (row.query for row in rows)
        assert len({row.candidates for row in rows}) == len({row.relevant for row in rows}) == 1
        assert [type(segment) for segment in image] == [Image]
        assert key_of(with_text[1:]) == key_of(text_only) and not any(isinstance(segment, Image) for segment in text_only)
        assert all("latitude" not in s.text and "hemisphere" not in s.text for s in removed if isinstance(s, Text))
        named += any("latitude" in s.text or "hemisphere" in s.text for s in with_text if isinstance(s, Text))
        (right,) = rows[0].relevant
        places = [candidate[0] for candidate in rows[0].candidates]
        assert len(places) == 30
        assert all(km(place, places[right]) >= NEAR_KM for n, place in enumerate(places) if n != right)
    assert named > 0
