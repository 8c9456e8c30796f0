"""Units, scales and offsets: said, tagged or by rule, and what is refused."""

import numpy as np
import pytest

from geolangbind.data.rasters import open_raster, read_raster
from geolangbind.errors import UnitError
from geolangbind.sensors import Unit

S2 = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
RNG = np.random.default_rng(0)
DN = RNG.integers(300, 4000, (13, 8, 10)).astype(np.uint16)


@pytest.fixture
def l1c(tif, tmp_path):
    return tif(tmp_path / "scene.tif", DN, names=S2)


def test_the_offset_of_sentinel_2_is_not_guessed(l1c):
    with pytest.raises(UnitError, match=r"--offset 0 for products before baseline 04\.00.*--offset -0\.1 for 04\.00 and after"):
        open_raster(l1c, sensor="s2-l1c")


@pytest.mark.parametrize(
    ("tags", "offset"),
    [
        ({"PROCESSING_BASELINE": "04.00"}, -0.1),
        ({"PROCESSING_BASELINE": "05.11"}, -0.1),
        ({"PROCESSING_BASELINE": "0400"}, -0.1),
        ({"PROCESSING_BASELINE": "03.01"}, 0.0),
        ({"BOA_ADD_OFFSET": "-1000"}, -0.1),
        ({"RADIO_ADD_OFFSET": "-1000"}, -0.1),
        ({"BOA_ADD_OFFSET": "0", "PROCESSING_BASELINE": "05.00"}, 0.0),  # harmonised: the explicit offset wins
    ],
)
def test_the_offset_from_the_tags(tif, tmp_path, tags, offset):
    path = tif(tmp_path / "scene.tif", DN + 1000, names=S2, tags=tags)
    raster = read_raster(path, sensor="s2-l1c")
    np.testing.assert_allclose(raster.image, (DN + 1000.0) / 10000 + offset, atol=1e-6)


@pytest.mark.parametrize(("baseline", "offset"), [("N0500", -0.1), ("N0400", -0.1), ("N0301", 0.0)])
def test_the_offset_and_satellite_from_the_product_name(tif, tmp_path, baseline, offset):
    folder = tmp_path / f"S2B_MSIL2A_20220517T101559_{baseline}_R065_T32TQM_20220517T150000.SAFE"
    folder.mkdir()
    path = tif(folder / "image.tif", DN[:1] + 1000, names=["B12"])
    reader = open_raster(path)
    assert (reader.sensor.name, reader.sensor.platform) == ("sentinel-2-l2a", "S2B")
    assert reader.bands[0].center_wavelength_um == 2.1857
    assert reader.calibrations[0].offset == pytest.approx(offset)


def test_the_offset_said_goes_before_the_tags(tif, tmp_path):
    path = tif(tmp_path / "scene.tif", DN, names=S2, tags={"PROCESSING_BASELINE": "05.00"})
    np.testing.assert_allclose(read_raster(path, sensor="s2-l1c", offset=0).image, DN / 10000, atol=1e-6)


def test_a_baseline_that_is_no_number_is_refused(tif, tmp_path):
    path = tif(tmp_path / "scene.tif", DN, names=S2, tags={"PROCESSING_BASELINE": "new"})
    with pytest.raises(UnitError, match="PROCESSING_BASELINE is 'new', not a number"):
        open_raster(path, sensor="s2-l1c")


def test_an_offset_applied_twice_is_refused(l1c):
    with pytest.raises(UnitError, match=r"offset may have been applied before.*--offset 0"):
        read_raster(l1c, sensor="s2-l1c", offset=-0.1)


def test_scale_and_offset_tags_of_the_file_are_used(tif, tmp_path):
    path = tif(tmp_path / "scene.tif", DN[:2], names=["B02", "B03"], scaling=((0.0002, 0.0002), (-0.05, -0.05)))
    raster = read_raster(path, sensor="s2-l2a")
    np.testing.assert_allclose(raster.image, DN[:2] * 0.0002 - 0.05, atol=1e-6)
    assert any("scale and offset of the file" in note for note in raster.notes)


def test_a_fixed_rule_needs_nothing_said(tif, tmp_path):
    path = tif(tmp_path / "planet.tif", DN[:2], names=["rededge", "green_i"])
    np.testing.assert_allclose(read_raster(path, sensor="superdove").image, DN[:2] / 10000, atol=1e-6)


def test_floats_that_may_be_reflectance_already_are_not_scaled_twice(tif, tmp_path):
    reflectance = (DN[:1] / 10000).astype(np.float32)
    path = tif(tmp_path / "planet.tif", reflectance, names=["red"])
    with pytest.raises(UnitError, match="may be reflectance already; say --scale 1 --offset 0"):
        read_raster(path, sensor="superdove")
    np.testing.assert_allclose(read_raster(path, sensor="superdove", scale=1, offset=0).image, reflectance)


def test_radar_must_say_its_unit(tif, tmp_path):
    decibel = -RNG.uniform(5, 25, (2, 6, 6)).astype(np.float32)
    path = tif(tmp_path / "s1.tif", decibel, names=["VV", "VH"])
    with pytest.raises(
        UnitError, match="--unit gamma0_amplitude or gamma0_db or gamma0_linear or sigma0_amplitude or sigma0_db or sigma0_linear"
    ):
        open_raster(path, sensor="s1")
    np.testing.assert_allclose(read_raster(path, sensor="s1", unit="gamma0_db").image, decibel)
    linear = tif(tmp_path / "linear.tif", (10 ** (decibel / 10)).astype(np.float32), names=["VV", "VH"])
    raster = read_raster(linear, sensor="s1", unit="sigma0_linear")
    np.testing.assert_allclose(raster.image, decibel, atol=1e-4)
    assert (raster.unit, raster.channels.frequencies_ghz) == (Unit.SIGMA0_DB, (5.405, 5.405))


def test_a_unit_in_the_file_is_read(tif, tmp_path):
    decibel = -RNG.uniform(5, 25, (1, 6, 6)).astype(np.float32)
    assert read_raster(tif(tmp_path / "VV.tif", decibel, units=["gamma0_db"]), sensor="s1").unit is Unit.GAMMA0_DB
    celsius = RNG.uniform(5, 40, (1, 6, 6)).astype(np.float32)
    raster = read_raster(tif(tmp_path / "t.tif", celsius, units=["Celsius"]), sensor="lwir-camera")
    np.testing.assert_allclose(raster.image, celsius + 273.15, rtol=1e-6)
    kelvin = tif(tmp_path / "B13.tif", celsius + 273.15, units=["K"])
    assert read_raster(kelvin, sensor="aster-tir").unit is Unit.BRIGHTNESS_TEMPERATURE_K


def test_feet_are_refused_with_the_factor(tif, tmp_path):
    path = tif(tmp_path / "dem.tif", DN[:1], units=["ft"])
    with pytest.raises(UnitError, match=r"--scale 0\.3048 --offset 0"):
        open_raster(path, sensor="srtm")
    np.testing.assert_allclose(read_raster(path, sensor="srtm", scale=0.3048, offset=0).image, DN[:1] * 0.3048, rtol=1e-6)


def test_a_calibration_that_varies_must_be_said(tif, tmp_path):
    path = tif(tmp_path / "wv3.tif", DN[:1], names=["swir1"])
    with pytest.raises(UnitError, match="worldview-3 is calibrated differently in every order; give --scale and --offset"):
        open_raster(path, sensor="wv3")
    with pytest.raises(UnitError, match="give --scale and --offset"):
        open_raster(path, sensor="wv3", scale=0.0001)
    assert read_raster(path, sensor="wv3", scale=0.0001, offset=0).unit is Unit.REFLECTANCE


@pytest.mark.parametrize(
    ("sensor", "unit", "message"),
    [
        ("s1", "reflectance", "sentinel-1-grd cannot be in reflectance"),
        ("srtm", "celsius", "cannot be"),
        ("srtm", "dn", "physical meaning"),
    ],
)
def test_units_of_another_family_are_refused(tif, tmp_path, sensor, unit, message):
    with pytest.raises(UnitError, match=message):
        open_raster(tif(tmp_path / "VV.tif", DN[:1]), sensor=sensor, unit=unit)


def test_bands_of_different_units_are_read_apart(tif, tmp_path):
    path = tif(tmp_path / "l2.tif", DN[:3] + 30000, names=["SR_B4", "SR_B3", "ST_B10"])
    with pytest.raises(UnitError, match=r"--bands SR_B4,SR_B3 \(reflectance\) or --bands ST_B10 \(surface_temperature_k\)"):
        open_raster(path, sensor="landsat-8-l2")
    raster = read_raster(path, sensor="landsat-8-l2", bands=["B10"])
    np.testing.assert_allclose(raster.image, (DN[2:3] + 30000.0) * 0.00341802 + 149, rtol=1e-6)
    assert raster.channels.kinds == ("surface_temperature",)


WRONG = [
    ("s2-l2a", ["B04"], {"unit": "reflectance", "scale": 1, "offset": 0}, DN[:1], "reflectance lies in -0.2 to 2.5"),
    ("s1", ["VV"], {"unit": "sigma0_db"}, DN[:1], "scaled integers"),
    ("s1", ["VV"], {"unit": "sigma0_db"}, np.float32(DN[:1] / 5000), "mostly negative; they may be linear power"),
    ("s1", ["VV"], {"unit": "gamma0_linear"}, np.float32(DN[:1] / -200), "they may be decibel"),
    ("aster", ["B10"], {"unit": "brightness_temperature_k"}, np.float32(DN[:1] / 100), "they may be degrees Celsius"),
    ("aster", ["B10"], {"unit": "celsius"}, np.float32(DN[:1] / 100 + 280), "they may be kelvin"),
    ("srtm", None, {}, np.float32(np.where(DN[:1] > 2000, 1e5, 10)), "unmarked no-data number"),
    ("aerial-rgb", ["R"], {}, DN[:1], "probably not 8-bit"),
]


@pytest.mark.parametrize(("sensor", "bands", "said", "pixels", "message"), WRONG)
def test_values_that_cannot_be_in_the_unit_are_refused(tif, tmp_path, sensor, bands, said, pixels, message):
    path = tif(tmp_path / "x.tif", pixels)
    with pytest.raises(UnitError, match=message) as caught:
        read_raster(path, sensor=sensor, bands=bands, **said)
    assert str(path) in str(caught.value)
