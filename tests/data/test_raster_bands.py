"""Which band each channel is, and what is refused."""

import numpy as np
import pytest
import rasterio

from geolangbind.data.rasters import open_raster, read_raster
from geolangbind.errors import DataError, SensorError
from geolangbind.sensors import Unit

S2 = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
RNG = np.random.default_rng(0)
DN = RNG.integers(300, 4000, (13, 8, 10)).astype(np.uint16)


@pytest.fixture
def l1c(tif, tmp_path):
    return tif(tmp_path / "scene.tif", DN, names=S2)


def test_descriptions_name_the_bands(l1c):
    raster = read_raster(l1c, sensor="s2-l1c", offset=0)
    assert [band.name for band in raster.bands] == S2
    assert raster.image.shape == (13, 8, 10) and raster.image.dtype == np.float32
    np.testing.assert_allclose(raster.image, DN / 10000, rtol=1e-6)
    assert (raster.unit, raster.sensor.name, raster.window) == (Unit.REFLECTANCE, "sentinel-2-l1c", (0, 0, 10, 8))
    assert raster.channels.kinds == ("reflectance_toa",) * 13
    assert raster.valid.all() and raster.valid.shape == (8, 10)
    assert "bands from the descriptions in the file" in raster.notes


def test_described_bands_can_be_picked_in_any_order(l1c):
    raster = read_raster(l1c, sensor="s2-l1c", offset=0, bands=["b8a", "B2"])
    assert [band.name for band in raster.bands] == ["B8A", "B02"]
    np.testing.assert_allclose(raster.image, DN[[8, 1]] / 10000, rtol=1e-6)
    assert raster.channels.wavelengths_um == (0.8647, 0.4927)


def test_permuting_the_file_permutes_nothing_but_the_file(tif, tmp_path, l1c):
    order = RNG.permutation(13)
    shuffled = tif(tmp_path / "shuffled.tif", DN[order], names=[S2[k] for k in order])
    wanted = ["B04", "B03", "B8A"]
    one, other = (read_raster(path, sensor="s2-l1c", offset=0, bands=wanted) for path in (l1c, shuffled))
    np.testing.assert_array_equal(one.image, other.image)


def test_a_count_is_no_order(tif, tmp_path):
    path = tif(tmp_path / "scene.tif", DN)
    with pytest.raises(SensorError, match=f"a count is no order.*--bands {','.join(S2)}"):
        open_raster(path, sensor="sentinel-2-l1c", offset=0)


def test_numbered_channels_are_no_names_either(tif, tmp_path):
    path = tif(tmp_path / "scene.tif", DN[:4, :, :].astype(np.uint8), names=["Band 1", "Band 2", "layer_3", "4"])
    with pytest.raises(SensorError, match="a count is no order"):
        open_raster(path, sensor="naip")


def test_bands_said_give_the_order(tif, tmp_path):
    path = tif(tmp_path / "scene.tif", DN)
    b8a_last = [*S2[:8], *S2[9:], "B8A"]
    raster = read_raster(path, sensor="s2-l1c", bands=b8a_last, offset=0)
    assert raster.bands[-1].name == "B8A" and raster.channels.wavelengths_um[-1] == 0.8647


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        (S2[:12], r"has 13 channels without names, but bands \(--bands\) has 12 names"),
        ([*S2[:12], "B13"], "no band 'B13'"),
        (["B01"] * 13, "more than once"),
    ],
)
def test_bands_said_must_fit(tif, tmp_path, bands, message):
    with pytest.raises(SensorError, match=message):
        open_raster(tif(tmp_path / "scene.tif", DN), sensor="s2-l1c", bands=bands, offset=0)


def test_a_band_the_file_does_not_have_is_refused(tif, tmp_path):
    path = tif(tmp_path / "scene.tif", DN[:3], names=["B02", "B03", "B04"])
    with pytest.raises(SensorError, match=r"has no band B08 of sentinel-2-l2a; it has B02,B03,B04"):
        open_raster(path, sensor="s2-l2a", bands=["B08"], offset=0)


def test_names_of_another_sensor_are_refused(tif, tmp_path):
    path = tif(tmp_path / "scene.tif", DN[:2], names=["classes", "probability"])
    with pytest.raises(SensorError, match="classes, probability, which are no bands of sentinel-2-l2a"):
        open_raster(path, sensor="s2-l2a", bands=["B02", "B03"], offset=0)


def test_a_strange_channel_among_known_ones_must_be_left_out_by_choice(tif, tmp_path):
    path = tif(tmp_path / "dem.tif", DN[:2], names=["elevation_m", "slope"])
    with pytest.raises(SensorError, match="slope is no band of copernicus-dem; choose from the others with --bands elevation"):
        open_raster(path, sensor="copernicus-dem")
    assert read_raster(path, sensor="copernicus-dem", bands=["elevation"]).image.shape[0] == 1


def test_two_channels_of_one_name_are_refused(tif, tmp_path):
    with pytest.raises(SensorError, match="two channels are B02"):
        open_raster(tif(tmp_path / "scene.tif", DN[:2], names=["B2", "B02"]), sensor="s2-l2a", offset=0)


def test_no_sensor_is_refused(tif, tmp_path):
    with pytest.raises(SensorError, match="say --sensor"):
        open_raster(tif(tmp_path / "scene.tif", DN[:1]))


def wave_tags(values, unit="Nanometers"):
    return [{"wavelength": f"{value}", "wavelength_units": unit, "fwhm": "7"} for value in values]


def test_wavelengths_in_the_file_name_the_bands_and_are_kept(tif, tmp_path):
    path = tif(tmp_path / "hsi.tif", DN[:3], band_tags=wave_tags([666.0, 491.9, 561.0]))
    raster = read_raster(path, sensor="enmap")
    assert [band.name for band in raster.bands] == ["B48", "B16", "B30"]
    assert raster.channels.wavelengths_um == (0.666, 0.4919, 0.561)
    assert raster.bands[0].fwhm_um == 0.007


def test_wavelengths_of_gdal_in_micrometres(tif, tmp_path):
    path = tif(tmp_path / "hsi.tif", DN[:1])
    with rasterio.open(path, "r+") as file:
        file.update_tags(1, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="0.6646", FWHM_UM="0.031")
    assert open_raster(path, sensor="s2-l2a", offset=0).bands[0].name == "B04"


def test_the_files_bad_bands_are_left_out(tif, tmp_path):
    tags = wave_tags([666.0, 491.9])
    tags[1]["bbl"] = "0"
    raster = read_raster(tif(tmp_path / "hsi.tif", DN[:2], band_tags=tags), sensor="enmap")
    assert [band.name for band in raster.bands] == ["B48"]
    assert "1 bands left out that are on the bad-band list" in raster.notes


@pytest.mark.parametrize(
    ("values", "unit", "error", "message"),
    [
        ([300.0], "Nanometers", SensorError, "0.3 µm, where enmap-l2a has no band"),
        ([666.0, 666.1], "nm", SensorError, "two channels are B48"),
        ([1.5], "inches", DataError, "wavelengths in 'inches'"),
        ([665.0], "", DataError, "which is no known unit"),
    ],
)
def test_impossible_wavelengths_are_refused(tif, tmp_path, values, unit, error, message):
    path = tif(tmp_path / "hsi.tif", DN[: len(values)], band_tags=wave_tags(values, unit))
    with pytest.raises(error, match=message):
        open_raster(path, sensor="enmap")


def test_a_name_that_contradicts_its_wavelength_is_refused(tif, tmp_path):
    path = tif(tmp_path / "scene.tif", DN[:1], names=["B04"], band_tags=wave_tags([832.0]))
    with pytest.raises(SensorError, match=r"called B04 but has the wavelength 0\.832 µm, and B04 of sentinel-2-l2a lies at 0\.6646"):
        open_raster(path, sensor="s2-l2a", offset=0)


def test_where_spectrometers_overlap_the_confirmed_number_decides(tif, tmp_path):
    # 0.9023 µm is band 92; band 79 lies within half a nanometre per scene
    path = tif(tmp_path / "hsi.tif", DN[:1], names=["band 92 (902 Nanometers)"], band_tags=wave_tags([902.0]))
    assert open_raster(path, sensor="enmap").bands[0].name == "B92"


def test_the_file_name_names_a_single_band(tif, tmp_path):
    raster = read_raster(tif(tmp_path / "S1A_2015_VH_norm.tif", DN[:1] / -200.0), sensor="s1", unit="sigma0_db")
    assert raster.bands[0].name == "VH" and raster.channels.kinds == ("sigma0_vh_c",)
    with pytest.raises(SensorError, match="holds several bands of sentinel-1-grd"):
        open_raster(tif(tmp_path / "VV_VH.tif", DN[:1] / -200.0), sensor="s1", unit="sigma0_db")


@pytest.mark.parametrize(("driver", "name"), [("PNG", "a.png"), ("JPEG", "a.jpg")])
def test_a_colour_picture_states_what_it_is(picture, tmp_path, driver, name):
    pixels = np.broadcast_to(np.array([255, 51, 0], np.uint8)[:, None, None], (3, 16, 16))
    raster = read_raster(picture(tmp_path / name, pixels, driver))
    assert (raster.sensor.name, raster.unit, raster.gsd_m, raster.bounds_wgs84) == ("aerial-rgb", Unit.DISPLAY_U8, None, None)
    np.testing.assert_allclose(raster.image.mean((1, 2)), [1, 0.2, 0], atol=0.01)
    assert raster.valid.all()  # black is a colour


def test_a_colour_picture_of_a_satellite_keeps_its_wavelengths(picture, tmp_path):
    path = picture(tmp_path / "a.png", DN[:3].astype(np.uint8), "PNG")
    raster = read_raster(path, sensor="s2-l2a")
    assert ([band.name for band in raster.bands], raster.unit) == (["B04", "B03", "B02"], Unit.DISPLAY_U8)


def test_a_grey_picture_needs_its_sensor(picture, tmp_path):
    path = picture(tmp_path / "a.png", DN[:1].astype(np.uint8), "PNG")
    with pytest.raises(SensorError, match="say --sensor"):
        read_raster(path)
    assert read_raster(path, sensor="lwir-camera").channels.wavelengths_um == (10.5,)


def test_the_alpha_channel_of_a_png_is_a_mask(picture, tmp_path):
    pixels = np.full((4, 4, 4), 100, np.uint8)
    pixels[3, 0] = 0
    raster = read_raster(picture(tmp_path / "a.png", pixels, "PNG"))
    assert raster.image.shape[0] == 3 and raster.valid.sum() == 12 and not raster.valid[0].any()


def test_a_palette_is_no_image(tif, tmp_path):
    path = tif(tmp_path / "classes.tif", DN[:1].astype(np.uint8), photometric="palette")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})
    with pytest.raises(DataError, match="colour palette"):
        read_raster(path, sensor="srtm")
