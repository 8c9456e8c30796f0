"""Pixels: functions of the record, physically sane, of any sensor without code for it."""

import numpy as np
import pytest

from geolangbind.errors import SensorError, SettingsError
from geolangbind.planet.materials import MASK_CLASSES
from geolangbind.planet.render import render, render_mask
from geolangbind.planet.scene import draw_scene
from geolangbind.planet.terrain import relief_light, surface
from geolangbind.sensors import Band, Sensor, get_sensor
from geolangbind.sensors.units import Unit

L1C = get_sensor("sentinel-2-l1c")


def _toa(name: str, index: int, bands: list[str], pixels: int = 64) -> np.ndarray:
    return render(draw_scene(11, index, name), L1C, L1C.select(bands=bands), Unit.REFLECTANCE, pixels, 10)


def test_vegetation_and_water_indices() -> None:
    for index in range(6):
        red, near = _toa("forest", index, ["B04", "B08"])
        assert ((near - red) / (near + red)).mean() > 0.5
        red, near, short = _toa("sea_lake", index, ["B04", "B08", "B11"])
        assert np.median(near) < np.median(red) and np.median(short) < 0.03
        green, short = _toa("snow", index, ["B03", "B11"])
        assert np.median((green - short) / (green + short)) > 0.4


def test_atmosphere() -> None:
    """Cirrus band near zero, water-vapour band below its neighbour, blue above red over the sea, as in any level-1C scene."""
    for name in ("pasture", "annual_crop", "bare_rock"):
        near, vapour, cirrus = _toa(name, 1, ["B8A", "B09", "B10"])
        assert cirrus.mean() < 0.02
        assert vapour.mean() < 0.9 * near.mean()
    coastal, blue, red = _toa("sea_lake", 3, ["B01", "B02", "B04"])
    assert coastal.mean() > blue.mean() > red.mean()


def test_pixels_do_not_depend_on_what_was_drawn_before() -> None:
    first = _toa("harbour", 5, ["B04", "B08"])
    for index in range(8):
        _toa("river", index, ["B02"])
    np.testing.assert_array_equal(first, _toa("harbour", 5, ["B04", "B08"]))


def test_permuted_bands_give_permuted_channels() -> None:
    """Up to sensor noise, which is drawn channel by channel."""
    image = _toa("industrial", 0, ["B02", "B08", "B11"])
    turned = _toa("industrial", 0, ["B11", "B02", "B08"])
    np.testing.assert_allclose(turned, image[[2, 0, 1]], atol=0.008)


def test_unknown_sensor_needs_no_code() -> None:
    """A red edge camera nobody has heard of agrees with Sentinel-2's bands of the same wavelength and width."""
    bands = tuple(
        Band(f"X{i}", center_wavelength_um=b.center_wavelength_um, fwhm_um=b.fwhm_um, gsd_m=b.gsd_m)
        for i, b in enumerate(L1C.select(bands=["B05", "B8A"]))
    )
    own = Sensor("own-camera", "own", "msi", "toa", Unit.REFLECTANCE, 1.0, 0.0, bands, ())
    scene = draw_scene(11, 2, "pasture")
    mine = render(scene, own, bands, Unit.REFLECTANCE, 64, 10)
    np.testing.assert_allclose(mine, _toa("pasture", 2, ["B05", "B8A"]), atol=0.008)


def test_crops_and_surface_level() -> None:
    """A smaller picture is the middle of the larger one; surface reflectance lacks the blue of the air."""
    scene = draw_scene(11, 4, "annual_crop")
    whole = render(scene, L1C, L1C.select(bands=["B03"]), Unit.REFLECTANCE, 64, 10)
    middle = render(scene, L1C, L1C.select(bands=["B03"]), Unit.REFLECTANCE, 32, 10)
    np.testing.assert_allclose(middle, whole[:, 16:48, 16:48], atol=0.01)
    l2a = get_sensor("sentinel-2-l2a")
    forest = draw_scene(11, 4, "forest")
    top = render(forest, L1C, L1C.select(bands=["B02"]), Unit.REFLECTANCE, 64, 10).mean()
    assert render(forest, l2a, l2a.select(bands=["B02"]), Unit.REFLECTANCE, 64, 10).mean() < top - 0.03


def test_display_pictures_are_whole_numbers() -> None:
    picture = render(draw_scene(11, 0, "pasture"), L1C, L1C.select(bands=["B04", "B03", "B02"]), Unit.DISPLAY_U8, 64, 10)
    assert picture.shape == (3, 64, 64)
    np.testing.assert_array_equal(picture, np.round(picture))
    assert picture.min() >= 0 and picture.max() <= 255


def test_radar_physics() -> None:
    """Water dark, towns bright, trees seen in cross polarisation, water under trees, gamma0 above sigma0, speckle of 4-5 looks."""
    radar = get_sensor("sentinel-1-grd")
    bands = radar.select(bands=["VV", "VH"])

    def mean_db(name: str, unit: Unit = Unit.SIGMA0_DB) -> np.ndarray:
        return np.mean(
            [10 * np.log10((10 ** (render(draw_scene(12, i, name), radar, bands, unit, 64, 10) / 10)).mean((1, 2))) for i in range(10)],
            axis=0,
        )

    sea, town, wood, flooded = (mean_db(name) for name in ("sea_lake", "residential", "forest", "flooded_forest"))
    assert sea[0] < wood[0] - 6 and town[0] > wood[0] - 2
    assert np.all(wood > wood[0] - 9) and wood[1] < wood[0] - 3
    assert 4 < flooded[0] - wood[0] < 7 and flooded[1] - wood[1] < 2.5
    assert np.all(mean_db("forest", Unit.GAMMA0_DB) - wood > 0.5)
    flat = render(draw_scene(12, 0, "plain"), radar, bands[:1], Unit.SIGMA0_LINEAR, 64, 10)
    looks = flat.mean() ** 2 / flat.var()
    assert 3 < looks < 6.5


def test_thermal_physics() -> None:
    camera, landsat = get_sensor("lwir-camera"), get_sensor("landsat-8-9-l1")
    bands = landsat.select(bands=["B10", "B11"])
    for index in range(4):
        hot = render(draw_scene(13, index, "hot_industry"), camera, camera.good_bands, Unit.BRIGHTNESS_TEMPERATURE_K, 64, 10)
        cold = render(draw_scene(13, index, "industrial"), camera, camera.good_bands, Unit.BRIGHTNESS_TEMPERATURE_K, 64, 10)
        assert hot.max() > cold.max() + 20
        near, far = render(draw_scene(13, index, "forest"), landsat, bands, Unit.BRIGHTNESS_TEMPERATURE_K, 64, 10)
        assert far.mean() < near.mean()
        assert 240 < near.mean() < 320
        sand = render(draw_scene(13, index, "desert"), landsat, bands[:1], Unit.BRIGHTNESS_TEMPERATURE_K, 64, 10)
        celsius = render(draw_scene(13, index, "desert"), landsat, bands[:1], Unit.CELSIUS, 64, 10)
        np.testing.assert_allclose(sand - celsius, 273.15, atol=1e-3)
    picture = render(draw_scene(13, 0, "airport"), camera, camera.good_bands, Unit.DISPLAY_U8, 64, 10)
    assert picture.min() >= 0 and picture.max() <= 255 and picture.std() > 10


def test_terrain() -> None:
    dem = get_sensor("copernicus-dem")

    def relief(name: str, index: int) -> float:
        return float(np.ptp(render(draw_scene(14, index, name), dem, dem.good_bands, Unit.ELEVATION_M, 64, 10)))

    for index in range(5):
        assert relief("sea_lake", index) < 1e-3
        assert relief("plain", index) < 20 < 35 < relief("gorge", index)
        assert relief("bare_rock", index) > 60
        assert relief("industrial", index) > 5
        np.testing.assert_array_equal(relief_light(draw_scene(14, index, "gorge")), 1)
        height = render(draw_scene(14, index, "forest"), dem, dem.good_bands, Unit.HEIGHT_M, 64, 10)
        assert 6 < np.median(height) < 40
    light = relief_light(draw_scene(14, 1, "bare_rock"))
    assert light.std() > 0.1 and light.min() > 0
    assert surface(draw_scene(14, 1, "beach")).min() < 2


def test_masks() -> None:
    for name, wanted, least in (
        ("forest", "trees", 0.6),
        ("sea_lake", "water", 0.8),
        ("snow", "snow", 0.8),
        ("annual_crop", "crops", 0.0),
        ("solar_farm", "solar panels", 0.05),
    ):
        mask = render_mask(draw_scene(15, 0, name), 64, 10)
        assert mask.shape == (64, 64) and mask.dtype == np.uint8 and mask.max() < len(MASK_CLASSES)
        assert (mask == MASK_CLASSES.index(wanted)).mean() >= least
    assert len(MASK_CLASSES) >= 8
    seen = set().union(*(np.unique(render_mask(draw_scene(15, i), 32, 20)).tolist() for i in range(48)))
    assert len(seen) >= 8


def test_what_cannot_be_drawn_is_refused() -> None:
    scene = draw_scene(0, 0)
    with pytest.raises(SensorError, match="no centre wavelength"):
        render(scene, L1C, [Band("Z")], Unit.REFLECTANCE, 64, 10)
    with pytest.raises(SensorError, match=r"2\.5 µm"):
        render(scene, L1C, [Band("Z", center_wavelength_um=2.8)], Unit.REFLECTANCE, 64, 10)
    with pytest.raises(SensorError, match="not as celsius"):
        render(scene, L1C, L1C.select(bands=["B02"]), Unit.CELSIUS, 64, 10)
    with pytest.raises(SensorError, match="temperature"):
        render(scene, L1C, [Band("T", center_wavelength_um=10.9)], Unit.REFLECTANCE, 64, 10)
    with pytest.raises(SettingsError):
        render(scene, L1C, L1C.select(bands=["B02"]), Unit.REFLECTANCE, 128, 10)
