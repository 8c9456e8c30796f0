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
    texts = [[s.text for s in row.query if isinstance(s, Text)] for row in place_rows(split) if row.group == "image and text"]
    assert 0.5 < sum(any("latitude" in text for text in found) for found in texts) / len(texts) < 0.95
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
    for rows in columns:
        image, with_text, text_only, removed = (row.query for row in rows)
        assert len({row.candidates for row in rows}) == len({row.relevant for row in rows}) == 1
        assert [type(segment) for segment in image] == [Image]
        assert key_of(with_text[1:]) == key_of(text_only) and not any(isinstance(segment, Image) for segment in text_only)
        assert all("latitude" not in s.text and "hemisphere" not in s.text for s in removed if isinstance(s, Text))
        text, silent = (" ".join(s.text for s in query if isinstance(s, Text)) for query in (with_text, removed))
        (right,) = rows[0].relevant
        places = [candidate[0] for candidate in rows[0].candidates]
        said = f"at latitude {abs(round(places[right].lat))} {'north' if round(places[right].lat) >= 0 else 'south'}"
        assert text == (f"{silent}, {said}" if silent else said)
        assert len(places) == 30
        assert all(km(place, places[right]) >= NEAR_KM for n, place in enumerate(places) if n != right)
