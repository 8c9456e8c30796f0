"""The record: the same from the same numbers, places that suit the class, objects and their relations."""

import dataclasses

import numpy as np
import pytest

from geolangbind.errors import SettingsError
from geolangbind.planet.globe import draw_place, fields
from geolangbind.planet.groups import CLASSES
from geolangbind.planet.objects import SceneObject, relation
from geolangbind.planet.scene import class_of, draw_scene, generator


def test_the_record_is_a_function_of_seed_and_index() -> None:
    forwards = [draw_scene(5, index) for index in range(30)]
    backwards = [draw_scene(5, index) for index in reversed(range(30))]
    assert forwards == backwards[::-1]
    assert draw_scene(6, 3) != forwards[3]
    assert hash(forwards[0]) == hash(draw_scene(5, 0))
    with pytest.raises(dataclasses.FrozenInstanceError):
        forwards[0].index = 1


def test_streams_are_independent_of_each_other() -> None:
    draws = {stream: generator(1, 2, stream).random() for stream in ("scene", "layout", "terrain", "rgb", "msi")}
    assert len(set(draws.values())) == len(draws)
    assert generator(1, 2, "sar").random() == draw_scene(1, 2).rng("sar").random()


def test_every_block_of_indices_holds_every_class_once() -> None:
    for block in (0, 3):
        start = block * len(CLASSES)
        assert sorted(class_of(9, start + i) for i in range(len(CLASSES))) == sorted(CLASSES)
    orders = {tuple(class_of(seed, i) for i in range(len(CLASSES))) for seed in range(4)}
    assert len(orders) == 4


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(SettingsError, match="unknown planet class 'moon'"):
        draw_scene(0, 0, "moon")
    with pytest.raises(SettingsError, match=">= 0"):
        draw_scene(-1, 0)


def test_global_fields_are_smooth_and_bounded() -> None:
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(-80, 80, 500), rng.uniform(-180, 180, 500)
    here, near = fields(lat, lon), fields(lat + 0.01, lon)
    for name in ("coast", "warmth", "moisture", "relief", "population"):
        assert here[name].min() >= 0 and here[name].max() <= 1, name
        assert np.abs(here[name] - near[name]).max() < 0.02, name
    # The same meridian from both sides.
    west, east = fields(lat, np.full(500, -180.0)), fields(lat, np.full(500, 180.0))
    np.testing.assert_allclose(west["land"], east["land"], atol=1e-9)


def test_places_suit_their_habitat() -> None:
    mean = {
        habitat: np.mean(
            [[p.warmth, p.moisture, p.relief, p.coast] for p in (draw_place(generator(2, i, "scene"), habitat) for i in range(60))], axis=0
        )
        for habitat in ("arid", "polar", "woods", "mountain", "lowland", "coast")
    }
    assert mean["polar"][0] < 0.4 < mean["arid"][0]
    assert mean["arid"][1] < 0.35 < mean["woods"][1]
    assert mean["mountain"][2] > 0.6 > mean["lowland"][2]
    assert mean["coast"][3] > 0.5 > mean["arid"][3]


def test_dates_and_sun_agree_with_the_hemisphere() -> None:
    for index in range(120):
        scene = draw_scene(4, index)
        assert 18 <= scene.sun_elevation_deg <= 90
        months = {"spring": (3, 4, 5), "summer": (6, 7, 8), "autumn": (9, 10, 11), "winter": (12, 1, 2)}[scene.season]
        northern = scene.date.month if scene.place.lat >= 0 else (scene.date.month + 5) % 12 + 1
        # Seasons start near the months' ends; one month of slack.
        assert any(abs((northern - month + 6) % 12 - 6) <= 1 for month in months)
        west, south, east, north = scene.bbox_wgs84()
        assert (north - south) * 111_320 == pytest.approx(640, rel=1e-6)
        assert east > west


def test_objects_lie_in_the_scene_apart_from_each_other() -> None:
    seen = 0
    for index in range(72):
        objects = draw_scene(8, index).objects
        for number, thing in enumerate(objects):
            x0, y0, x1, y1 = thing.box_m
            assert 0 <= x0 < x1 <= 640 and 0 <= y0 < y1 <= 640
            for other in objects[:number]:
                a0, b0, a1, b1 = other.box_m
                assert x1 <= a0 or a1 <= x0 or y1 <= b0 or b1 <= y0
            seen += 1
    assert seen > 60


def test_relation_and_box_of_things() -> None:
    def at(x: float, y: float) -> SceneObject:
        return SceneObject("pond", "dark", "small", (x, y), 40, 20, 0.0, True)

    assert at(100, 100).box_m == (80, 90, 120, 110)
    assert relation(at(100, 100), at(300, 150)) == "west of"
    assert relation(at(300, 150), at(100, 100)) == "east of"
    assert relation(at(100, 100), at(150, 300)) == "north of"
    assert relation(at(100, 400), at(150, 300)) == "south of"
