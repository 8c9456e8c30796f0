"""No data, folders, place, windows and unreadable files."""

import math

import numpy as np
import pytest
from rasterio.transform import from_origin

from geolangbind.data.rasters import iter_windows, open_raster, read_raster
from geolangbind.errors import DataError, SensorError, SettingsError

S2 = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
RNG = np.random.default_rng(0)
DN = RNG.integers(300, 4000, (13, 8, 10)).astype(np.uint16)


@pytest.fixture
def l1c(tif, tmp_path):
    return tif(tmp_path / "scene.tif", DN, names=S2)


def test_no_data_is_a_mask_over_all_bands(tif, tmp_path):
    pixels = DN[:2].astype(np.float32)
    pixels[0, 0, 0], pixels[1, 0, 1], pixels[0, 1, 0] = -9999, np.nan, np.inf
    raster = read_raster(tif(tmp_path / "x.tif", pixels, names=["B02", "B03"], nodata=-9999), sensor="s2-l2a", offset=0, scale=1e-4)
    expected = np.ones((8, 10), bool)
    expected[0, 0] = expected[0, 1] = expected[1, 0] = False
    np.testing.assert_array_equal(raster.valid, expected)
    assert np.isfinite(raster.image).all() and (raster.image[:, ~expected] == 0).all()


def test_no_data_of_the_product_of_the_file_and_as_said(tif, tmp_path):
    pixels = DN[:1].copy()
    pixels[0, 0, :3] = 0, 300, 65535
    plain = tif(tmp_path / "x.tif", pixels, names=["B02"])
    tagged = tif(tmp_path / "y.tif", pixels, names=["B02"], nodata=65535)
    for path, said, invalid in ((plain, None, 0), (tagged, None, 2), (tagged, 300, 1)):
        valid = read_raster(path, sensor="s2-l2a", offset=0, nodata=said).valid
        assert not valid[0, invalid] and valid[0].sum() == 9


def test_zero_is_black_in_a_rendering(tif, tmp_path):
    pixels = DN[:3].astype(np.uint8)
    pixels[:, 0] = 0
    raster = read_raster(tif(tmp_path / "tc.tif", pixels), sensor="s2-l2a", bands=["B04", "B03", "B02"], unit="display_u8")
    assert raster.valid.all()


def test_nothing_but_no_data_is_refused(tif, tmp_path):
    empty = tif(tmp_path / "x.tif", np.zeros((2, 4, 4), np.uint16), names=["B02", "B03"])
    with pytest.raises(DataError, match="has no valid pixel"):
        read_raster(empty, sensor="s2-l2a", offset=0)
    with pytest.raises(DataError, match="has no valid pixel"):
        list(iter_windows(open_raster(empty, sensor="s2-l2a", offset=0), 2))
    pixels = DN[:2].copy()
    pixels[1] = 0
    with pytest.raises(DataError, match="B03 hold no data at all; leave them out with --bands"):
        read_raster(tif(tmp_path / "y.tif", pixels, names=["B02", "B03"]), sensor="s2-l2a", offset=0)


@pytest.fixture
def folder(tif, tmp_path):
    scene = tmp_path / "S2A_MSIL2A_20170613T101031_N0205_R022_T33UUP"
    scene.mkdir()
    fine = RNG.integers(500, 3000, (1, 12, 12)).astype(np.uint16)
    tif(scene / f"{scene.name}_B02.tif", fine)
    tif(scene / f"{scene.name}_B8A.tif", np.full((1, 6, 6), 4000, np.uint16), pixel=20.0)
    tif(scene / "S1A_IW_GRDH_1SDV_20170613_VV.tif", np.full((1, 12, 12), -11.0, np.float32))
    (scene / "labels.json").write_text("{}")
    return scene, fine


def test_a_folder_of_bands_is_brought_to_the_finest_grid(folder):
    scene, fine = folder
    raster = read_raster(scene, sensor="s2-l2a")
    assert [band.name for band in raster.bands] == ["B02", "B8A"] and raster.gsd_m == 10
    np.testing.assert_allclose(raster.image[0], fine[0] / 10000, rtol=1e-6)
    np.testing.assert_allclose(raster.image[1], 0.4, rtol=1e-6)
    assert any("resampled to 12 x 12" in note for note in raster.notes) and any("not in the folder: B01" in note for note in raster.notes)


def test_a_folder_of_two_sensors_gives_the_one_asked_for(folder):
    scene, _ = folder
    assert [band.name for band in read_raster(scene, sensor="s1", unit="sigma0_db").bands] == ["VV"]
    with pytest.raises(SensorError, match="from sentinel-1-grd and sentinel-2-l2a"):
        open_raster(scene)


def test_a_resampled_window_equals_the_window_of_the_whole(tif, folder):
    scene, _ = folder
    tif(scene / f"{scene.name}_B11.tif", RNG.integers(500, 3000, (1, 6, 6)).astype(np.uint16), pixel=20.0)
    reader = open_raster(scene, sensor="s2-l2a")
    whole, part = reader.read(), reader.read((3, 5, 6, 4))
    np.testing.assert_allclose(part.image, whole.image[:, 5:9, 3:9], atol=1e-6)


def test_no_data_does_not_bleed_when_resampled(tif, folder):
    scene, _ = folder
    coarse = np.full((1, 6, 6), 2000, np.uint16)
    coarse[0, :, :3] = 0
    tif(scene / f"{scene.name}_B11.tif", coarse, pixel=20.0)
    raster = read_raster(scene, sensor="s2-l2a", bands=["B02", "B11"])
    np.testing.assert_allclose(raster.image[1][raster.valid], 0.2, rtol=1e-6)
    assert not raster.valid[:, :5].any() and raster.valid[:, 7:].all()


def test_folders_that_do_not_fit_are_refused(tif, folder):
    scene, _ = folder
    with pytest.raises(SensorError, match="has no band B03"):
        open_raster(scene, sensor="s2-l2a", bands=["B03"])
    tif(scene / "other_B02.tif", DN[:1])
    with pytest.raises(SensorError, match="are both B02; keep one scene in a folder"):
        open_raster(scene, sensor="s2-l2a")
    (scene / "other_B02.tif").unlink()
    moved = tif(scene / "x_B03.tif", DN[:1])
    with pytest.raises(DataError, match="do not cover the same ground"):
        open_raster(scene, sensor="s2-l2a")
    tif(moved, np.ones((1, 12, 12), np.uint16), crs="EPSG:32632")
    with pytest.raises(DataError, match="reproject them to one"):
        open_raster(scene, sensor="s2-l2a")
    tif(moved, np.ones((2, 12, 12), np.uint16))
    with pytest.raises(DataError, match="has 2 channels where a folder holds one band a file"):
        open_raster(scene, sensor="s2-l2a")
    with pytest.raises(SensorError, match="no GeoTIFF there is named after a band of srtm"):
        open_raster(scene, sensor="srtm")


def test_place_and_pixel_size(tif, tmp_path):
    metres = read_raster(tif(tmp_path / "m.tif", DN[:1], names=["elevation"]), sensor="srtm")
    assert metres.gsd_m == pytest.approx(10)
    west, south, east, north = metres.bounds_wgs84
    assert 4 < west < east < 5 and 45 < south < north < 46
    feet = tif(tmp_path / "f.tif", DN[:1], crs="EPSG:2263", pixel=10.0)
    assert open_raster(feet, sensor="srtm").gsd_m == pytest.approx(3.048, rel=1e-4)


@pytest.mark.parametrize(("crs", "x", "y", "pixel"), [("EPSG:4326", 10.0, 60.0, 0.001), ("EPSG:3857", 1113194.9, 8399737.9, 111.3195)])
def test_pixel_size_of_degrees_and_mercator_is_that_on_the_ground(tif, tmp_path, crs, x, y, pixel):
    path = tif(tmp_path / "d.tif", DN[:1], crs=crs, transform=from_origin(x, y, pixel, pixel))
    # at 60 degrees north a degree is 55.80 km by 111.41 km (WGS84)
    expected = math.sqrt(55.80 * 111.41) if crs == "EPSG:4326" else 55.80
    assert open_raster(path, sensor="srtm").gsd_m == pytest.approx(expected, rel=3e-3)


def test_windows_cover_everything_once_and_equal_the_whole(tif, tmp_path):
    path = tif(tmp_path / "x.tif", DN[:2], names=["B02", "B03"])
    reader = open_raster(path, sensor="s2-l2a", offset=0)
    whole = reader.read().image
    windows = list(iter_windows(reader, 4))
    assert [raster.window for raster in windows] == [
        (0, 0, 4, 4), (4, 0, 4, 4), (6, 0, 4, 4), (0, 4, 4, 4), (4, 4, 4, 4), (6, 4, 4, 4),
    ]  # fmt: skip
    for raster in windows:
        column, row, width, height = raster.window
        np.testing.assert_array_equal(raster.image, whole[:, row : row + height, column : column + width])
    assert windows[0].bounds_wgs84[0] == pytest.approx(reader.read().bounds_wgs84[0], abs=1e-4)


def test_windows_are_lazy_skip_empty_ones_and_may_overlap(tif, tmp_path):
    pixels = DN[:1].copy()
    pixels[:, :4, :4] = 0
    reader = open_raster(tif(tmp_path / "x.tif", pixels, names=["B02"]), sensor="s2-l2a", offset=0)
    assert next(iter(iter_windows(reader, 4))).window == (4, 0, 4, 4)
    assert [raster.window[:2] for raster in iter_windows(reader, 8, 4)] == [(0, 0), (2, 0)]
    assert [raster.window for raster in iter_windows(reader, 100)] == [(0, 0, 10, 8)]


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (4, 4), (4, -1)])
def test_impossible_windows_are_refused(l1c, size, overlap):
    with pytest.raises(SettingsError, match="are impossible"):
        list(iter_windows(open_raster(l1c, sensor="s2-l1c", offset=0), size, overlap))


def test_a_window_outside_is_refused(l1c):
    with pytest.raises(DataError, match="does not lie in its 10 x 8 pixels"):
        read_raster(l1c, sensor="s2-l1c", offset=0, window=(5, 0, 8, 8))


def test_files_that_cannot_be_read_are_named(tif, tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        read_raster(tmp_path / "none.tif")
    text = tmp_path / "text.tif"
    text.write_text("not an image")
    with pytest.raises(DataError, match=r"text\.tif: cannot be read as a raster"):
        read_raster(text)
    broken = tif(tmp_path / "broken.tif", np.full((1, 64, 64), 300, np.uint16), names=["B02"])
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"broken\.tif: cannot be read as a raster"):
        read_raster(broken, sensor="s2-l2a", offset=0)


def test_complex_numbers_are_refused(tif, tmp_path):
    with pytest.raises(DataError, match="complex numbers"):
        read_raster(tif(tmp_path / "slc.tif", DN[:1].astype(np.complex64)), sensor="s1")


def test_ones_own_sensor_by_path(tif, tmp_path):
    record = tmp_path / "cam.yaml"
    record.write_text(
        "{name: cam, title: t, modality: msi, product_level: toa, unit: reflectance, scale: 0.001, offset: 0, sources: [sheet],"
        " bands: [{name: vis, aliases: [panchro], center_wavelength_um: 0.6}]}"
    )
    raster = read_raster(tif(tmp_path / "x.tif", DN[:1] // 10, names=["Panchro"]), sensor=record)
    np.testing.assert_allclose(raster.image, (DN[:1] // 10) / 1000, rtol=1e-6)
    assert raster.channels.wavelengths_um == (0.6,)
