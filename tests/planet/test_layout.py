"""The map before any sensor looks at it: mixtures, parcels, houses, curves, and every layout."""

import numpy as np
import pytest

from geolangbind.planet.canvas import Canvas, mix
from geolangbind.planet.groups import CLASSES
from geolangbind.planet.layout import LAYOUTS, draw_ground
from geolangbind.planet.materials import MASK_CLASSES, MATERIALS, NAMES, draw_palette
from geolangbind.planet.noise import GRID
from geolangbind.planet.objects import SceneObject
from geolangbind.planet.relief import RELIEFS
from geolangbind.planet.scene import SPECS, Axis, draw_scene
from geolangbind.planet.shapes import PARCEL_IDS, axis_distance, houses, line_distance, parcel_rows, parcels, stamp, trees

_FLAT = np.zeros((GRID, GRID), np.float32)
_STILL = (_FLAT, _FLAT)


def test_tables_are_complete() -> None:
    assert {spec.layout for spec in SPECS.values()} == set(LAYOUTS)
    assert {spec.relief for spec in SPECS.values()} <= set(RELIEFS)
    assert all(0 <= material.cover < len(MASK_CLASSES) for material in MATERIALS.values())
    assert {material.cover for material in MATERIALS.values()} == set(range(len(MASK_CLASSES)))
    # Cross-polarised echoes are weaker than like-polarised ones from every natural and built surface.
    assert all(material.vh_db < material.vv_db for material in MATERIALS.values())


def test_mixtures_are_shares() -> None:
    row = mix({"grass": 3, "tree": 1}, {"tree": 2})
    assert row[NAMES.index("grass")] == pytest.approx(0.75)
    assert row[len(NAMES) + NAMES.index("tree")] == 1
    assert row[2 * len(NAMES)] == MATERIALS["grass"].cover


def test_canvas_paints_over_and_blends() -> None:
    canvas = Canvas(mix({"grass": 1}))
    left = np.zeros((GRID, GRID), bool)
    left[:, :64] = True
    canvas.paint(left, mix({"water": 1}, {"reed": 1}))
    ground = canvas.ground(_FLAT, _FLAT, _STILL)
    assert set(ground.names) == {"grass", "water", "reed"}
    share = dict(zip(ground.names, ground.fractions, strict=True))
    # Noise at zero is half way between the two mixtures.
    np.testing.assert_allclose(share["water"][:, :64], 0.5)
    np.testing.assert_allclose(share["reed"][:, :64], 0.5)
    np.testing.assert_allclose(share["grass"][:, 64:], 1)
    low = dict(zip(ground.names, canvas.ground(_FLAT - 5, _FLAT, _STILL).fractions, strict=True))
    np.testing.assert_allclose(low["water"][:, :64], 1)
    assert (ground.cover[:, :64] == MASK_CLASSES.index("water")).all()


def test_light_and_shade_leave_water_alone() -> None:
    canvas = Canvas(mix({"grass": 1}))
    half = np.arange(GRID)[None].repeat(GRID, 0) < 64
    canvas.paint(half, mix({"water": 1}))
    light = canvas.ground(_FLAT, _FLAT + 1, _STILL, least_texture=0.05).light
    np.testing.assert_allclose(light[:, :64], 1)
    np.testing.assert_allclose(light[:, 64:], 1.05, rtol=1e-6)


def test_a_table_of_cells_is_looked_up_where_asked() -> None:
    canvas = Canvas(mix({"soil_a": 1}))
    ids = (np.arange(GRID * GRID) % 2).reshape(GRID, GRID).astype(np.int32)
    rows = np.stack([mix({"snow": 1}), mix({"sand": 1})])
    upper = np.arange(GRID)[:, None].repeat(GRID, 1) < 10
    canvas.paint_table(ids, rows, upper)
    ground = canvas.ground(_FLAT, _FLAT, _STILL)
    share = dict(zip(ground.names, ground.fractions, strict=True))
    np.testing.assert_array_equal(share["snow"][:10], ids[:10] == 0)
    assert (share["soil_a"][10:] == 1).all()


def test_parcels_have_the_sizes_asked_for() -> None:
    """Straight strips of 100 m cut every 200 m: a 640 m scene holds about 20 of them, edges are at most 50 m away."""
    ids, edge = parcels(np.random.default_rng(0), 0.3, (100, 101), (200, 201), 0.0)
    assert ids.min() >= 0 and ids.max() < PARCEL_IDS
    assert edge.min() >= 0 and 45 < edge.max() <= 50.5
    assert 15 <= len(np.unique(ids)) <= 45


def test_parcel_rows_stay_mixtures() -> None:
    kinds = (mix({"crop_a": 1}), mix({"soil_a": 1}), mix({"dry_grass": 0.5, "soil_b": 0.5}))
    rows = parcel_rows(np.random.default_rng(1), kinds, (1, 1, 0.0), 0.0)
    shares = rows[:, : len(NAMES)]
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    assert shares.min() >= 0
    # A kind of weight zero never appears.
    assert shares[:, NAMES.index("dry_grass")].max() == 0
    even = parcel_rows(np.random.default_rng(1), kinds, (1, 1, 0.0), 0.0, contrast_range=(0.0, 0.0))
    assert np.ptp(even[:, NAMES.index("crop_a")]) < 1e-6


def test_lines_and_bends() -> None:
    straight, along = line_distance(0.0, 100.0, 0.0)
    np.testing.assert_allclose(straight[:, 0], np.arange(GRID) * 5 + 2.5 - 320 - 100, atol=1e-3)
    np.testing.assert_allclose(along[0], np.arange(GRID) * 5 + 2.5 - 320, atol=1e-3)
    bent, _ = line_distance(0.0, 0.0, 0.001)
    # The parabola of radius 1000 m lies u^2 / 2000 off the straight line: 50 m at 317.5 m.
    assert straight[0, 0] + 100 - bent[0, 0] == pytest.approx(317.5**2 / 2000, rel=1e-3)


def test_the_axis_is_where_the_road_is() -> None:
    for index in range(4):
        scene = draw_scene(21, index, "river")
        assert isinstance(scene.axis, Axis)
        cover = draw_ground(scene).cover
        distance, _ = axis_distance(scene)
        middle = np.abs(distance) < scene.axis.width_m / 6
        far = np.abs(distance) > scene.axis.width_m / 2 + 90
        if middle.sum() > 200 and far.sum() > 200:
            assert (cover[middle] == 0).mean() > (cover[far] == 0).mean() + 0.2


def test_houses_fill_their_share_and_keep_to_their_ground() -> None:
    canvas = Canvas(mix({"grass": 1}))
    where = np.zeros((GRID, GRID), bool)
    where[:, :64] = True
    houses(np.random.default_rng(2), canvas, 0.2, (30, 30), (0.6, 0.61), [mix({"red_roof": 1})], 1.0, where)
    roofs = canvas.ground(_FLAT, _FLAT, _STILL).cover == MASK_CLASSES.index("buildings")
    assert not roofs[:, 64:].any()
    # Every lot has a building of 60 % of either side: 36 % of the ground.
    assert roofs[:, :64].mean() == pytest.approx(0.36, abs=0.05)


def test_trees_cover_their_share() -> None:
    canvas = Canvas(mix({"grass": 1}))
    trees(np.random.default_rng(3), canvas, 0.3, 8)
    assert (canvas.ground(_FLAT, _FLAT, _STILL).cover == MASK_CLASSES.index("trees")).mean() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(("kind", "round_", "area"), [("pond", True, np.pi / 4), ("farm", False, 1.0)])
def test_stamped_things_have_their_size_and_box(kind: str, round_: bool, area: float) -> None:
    import dataclasses

    thing = SceneObject(kind, "red", "large", (200.0, 400.0), 120.0, 80.0, 0.4, round_)
    scene = dataclasses.replace(draw_scene(0, 0, "desert"), objects=(thing,))
    canvas = Canvas(mix({"sand": 1}))
    stamp(scene, canvas)
    rows, columns = np.nonzero(canvas.cells)
    assert len(rows) * 25 == pytest.approx(120 * 80 * area, rel=0.05)
    x0, y0, x1, y1 = thing.box_m
    assert x0 - 5 <= columns.min() * 5 and columns.max() * 5 <= x1 + 5
    assert y0 - 5 <= rows.min() * 5 and rows.max() * 5 <= y1 + 5


@pytest.mark.parametrize("name", CLASSES)
def test_every_layout_makes_a_map(name: str) -> None:
    for index in range(3):
        scene = draw_scene(22, index, name)
        ground = draw_ground(scene)
        assert ground.fractions.shape == (len(ground.names), GRID, GRID)
        assert ground.fractions.dtype == np.float32
        assert ground.fractions.min() >= -1e-5
        total = ground.fractions.sum(0)
        assert total.min() > 0.3 and total.max() < 3
        assert np.isfinite(ground.light).all() and ground.light.min() > 0
        palette = draw_palette(scene, ground.names)
        assert palette.shape == (len(ground.names), 211)
        assert palette.min() >= 0 and palette.max() <= 1.1
        again = draw_ground(draw_scene(22, index, name))
        np.testing.assert_array_equal(ground.fractions, again.fractions)


def test_a_material_does_not_depend_on_the_others_drawn() -> None:
    scene = draw_scene(23, 1, "stressed_crops")
    together = draw_palette(scene, ("tree", "crop_a", "water"))
    np.testing.assert_array_equal(together[1], draw_palette(scene, ("crop_a",))[0])
    healthy = draw_palette(draw_scene(23, 1, "annual_crop"), ("crop_a", "tree"))
    near = slice(40, 80)
    assert (together[1][near] < 0.7 * healthy[0][near]).all()
    np.testing.assert_array_equal(together[1][:30], healthy[0][:30])
    np.testing.assert_array_equal(together[0], healthy[1])
