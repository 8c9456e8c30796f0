import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from geolangbind.errors import GeoLangBindError, SensorError, UnitError
from geolangbind.sensors import ScaleRule, Unit, get_sensor, list_sensors, load_sensor_file

REQUIRED = {
    "sentinel-2-l1c", "sentinel-2-l2a", "sentinel-1-grd", "landsat-8-9-l1", "landsat-8-9-l2", "enmap-l2a", "planetscope-superdove", "naip",
    "worldview-3", "aerial-rgb", "lwir-camera", "aster-tir", "copernicus-dem", "srtm", "airborne-lidar",
}  # fmt: skip

MINE = {
    "name": "mine", "title": "My camera", "modality": "msi", "product_level": "toa", "unit": "reflectance", "scale": 0.001, "offset": 0,
    "sources": ["data sheet"],
    "bands": [{"name": "red", "center_wavelength_um": 0.665, "fwhm_um": 0.03}, {"name": "nir", "center_wavelength_um": 0.84}],
}  # fmt: skip


def write(path: Path, changes: dict | None = None, band: dict | None = None) -> Path:
    record = {**MINE, **(changes or {})}
    if band is not None:
        record["bands"] = [{**MINE["bands"][0], **band}]
    file = path / "mine.yaml"
    file.write_text(yaml.safe_dump(record), encoding="utf-8")
    return file


def test_the_catalog_has_the_promised_sensors():
    assert {sensor.name for sensor in list_sensors()} >= REQUIRED


@pytest.mark.parametrize("sensor", list_sensors(), ids=lambda sensor: sensor.name)
def test_every_record_is_complete_and_named_after_its_file(sensor):
    assert get_sensor(sensor.name) is sensor
    assert sensor.sources and sensor.title
    for alias in sensor.aliases:
        assert get_sensor(alias.upper().replace("-", "_")) is sensor
    for band in sensor.bands:
        if sensor.modality in ("rgb", "msi", "hsi", "ir"):
            assert 0.3 <= band.center_wavelength_um <= 20
        elif sensor.name == "sar-picture":
            assert band.center_wavelength_um is None and band.frequency_ghz is None and sensor.unit is Unit.DISPLAY_U8
        elif sensor.modality == "sar":
            assert band.frequency_ghz == 5.405 and band.polarization == band.name
        else:
            assert band.center_wavelength_um is None and band.frequency_ghz is None


def test_aliases_are_not_shared_between_sensors():
    names = [name for sensor in list_sensors() for name in (sensor.name, *sensor.aliases)]
    assert len(names) == len(set(names))


def test_sentinel_2_band_order_is_that_of_the_product():
    names = [band.name for band in get_sensor("sentinel-2-l1c").bands]
    assert names == ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
    assert [band.name for band in get_sensor("sentinel-2-l2a").bands] == [name for name in names if name != "B10"]


def test_sentinel_2_wavelengths_agree_with_torchgeo():
    from torchgeo.datasets import Sentinel2

    ours = {band.name: band.center_wavelength_um for band in get_sensor("sentinel-2-l1c").bands}
    assert ours == {name: Sentinel2.wavelengths[name] for name in ours}


@pytest.mark.parametrize(("platform", "b12_um", "width_um"), [(None, 2.2024, 0.175), ("S2B", 2.1857, 0.185), ("s2c", 2.1913, None)])
def test_platforms_have_their_own_wavelengths_and_widths(platform, b12_um, width_um):
    band = get_sensor("s2-l2a", platform=platform).band("B12")
    assert (band.center_wavelength_um, band.fwhm_um, band.gsd_m) == (b12_um, width_um, 20)


def test_unknown_platform_lists_the_valid_ones():
    with pytest.raises(SensorError, match="S2A, S2B, S2C"):
        get_sensor("s2-l2a", platform="S2Z")
    with pytest.raises(SensorError, match="one band table for all satellites"):
        get_sensor("naip", platform="S2A")


def test_enmap_has_224_bands_of_which_202_are_good():
    sensor = get_sensor("enmap-l2a")
    bad = [int(band.name[1:]) for band in sensor.bands if not band.good]
    assert (len(sensor.bands), len(sensor.good_bands)) == (224, 202)
    assert bad == [*range(127, 142), *range(161, 168)]
    # the overlap of the two spectrometers: the wavelengths start again
    assert sensor.band("B92").center_wavelength_um < sensor.band("B91").center_wavelength_um


def test_enmap_table_is_near_torchgeos_of_another_scene():
    from torchgeo.datasets import EnMAP

    for band in get_sensor("enmap-l2a").bands:
        assert band.center_wavelength_um == pytest.approx(EnMAP.wavelengths[band.name], abs=0.002)


def test_landsat_level_2_bands_have_their_own_unit_and_scale():
    sensor = get_sensor("landsat-8-9-l2")
    assert sensor.unit_of(sensor.band("ST_B10")) is Unit.SURFACE_TEMPERATURE_K
    assert sensor.scale_of(sensor.band("ST_B10")) == (0.00341802, 149.0)
    assert sensor.unit_of(sensor.band("SR_B4")) is Unit.REFLECTANCE
    assert sensor.scale_of(sensor.band("SR_B4")) == (0.0000275, -0.2)


def test_the_offset_of_sentinel_2_is_no_constant():
    sensor = get_sensor("sentinel-2-l2a")
    assert (sensor.rule, sensor.scale, sensor.offset) == (ScaleRule.SENTINEL2_BASELINE, 0.0001, None)


def test_unknown_sensor_names_the_nearest_and_all():
    with pytest.raises(SensorError, match=r"did you mean sentinel-2-l1c.*worldview-3"):
        get_sensor("sentinel-2")
    with pytest.raises(SensorError, match="did you mean landsat-8-9-l2"):
        get_sensor("landsat-89-l2")


def test_a_sensor_of_ones_own_is_a_yaml_file(tmp_path):
    sensor = get_sensor(write(tmp_path))
    assert (sensor.name, sensor.unit, sensor.scale, len(sensor.bands)) == ("mine", Unit.REFLECTANCE, 0.001, 2)
    assert sensor == load_sensor_file(str(tmp_path / "mine.yaml"))


REFUSALS = [
    ({"colour": 1}, None, "unknown key 'colour'"),
    ({"scael": 1}, None, r"unknown key 'scael' \(did you mean scale\?\)"),
    ({}, {"wavelength_um": 0.6}, "unknown key 'wavelength_um'"),
    ({}, {"center_wavelength_um": 665}, "did you mean 0.665 µm"),
    ({}, {"center_wavelength_um": 0.0005}, "lies outside 0.3 to 20 µm"),
    ({}, {"fwhm_um": 30}, "did you mean 0.03 µm"),
    ({}, {"frequency_ghz": 5405}, "lies outside 0.2 to 100 GHz"),
    ({}, {"polarization": "VX"}, "polarization 'VX' is unknown"),
    ({}, {"gsd_m": 0}, "gsd_m must be above 0"),
    ({}, {"good": "no way"}, "good must be true or false"),
    ({"modality": "optical"}, None, "modality 'optical' is unknown"),
    ({"product_level": "l2a"}, None, "product_level 'l2a' is unknown"),
    ({"unit": "radiance"}, None, "unknown unit 'radiance'"),
    ({"scale": "1e-4"}, None, "scale must be a number"),
    ({"scale": None}, None, "needs scale and offset"),
    ({"rule": "magic"}, None, "rule 'magic' is unknown"),
    ({"bands": []}, None, "at least one band"),
    ({"bands": [{"name": "B1"}, {"name": "B01"}]}, None, "bands B1 and B01 share the name"),
    ({"bands": ["red"]}, None, "band 1 must hold"),
    ({"sources": []}, None, "sources must name"),
    ({"aliases": "x"}, None, "aliases must be a list"),
    ({"platforms": {"A": {"blue": {}}}}, None, "platform A has an unknown key 'blue'"),
]


@pytest.mark.parametrize(("changes", "band", "message"), REFUSALS)
def test_a_wrong_record_is_refused_by_name(tmp_path, changes, band, message):
    file = write(tmp_path, changes, band)
    with pytest.raises((SensorError, UnitError), match=message) as caught:
        load_sensor_file(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"), [("name: [", "not a YAML file"), ("- a", "must hold 'key: value' lines"), ("name: x", "needs title")]
)
def test_a_file_that_is_no_record_is_refused(tmp_path, text, message):
    file = tmp_path / "bad.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SensorError, match=message):
        get_sensor(file)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SensorError, match="cannot read the sensor file"):
        get_sensor(tmp_path / "none.yaml")


def test_a_yaml_file_builds_no_objects(tmp_path):
    file = tmp_path / "evil.yaml"
    file.write_text("!!python/object/apply:os.getcwd []", encoding="utf-8")
    with pytest.raises(GeoLangBindError, match="not a YAML file"):
        get_sensor(file)


def test_sensors_import_without_torch_or_rasterio():
    code = "import sys, geolangbind.sensors as s; s.list_sensors(); sys.exit(bool({'torch', 'rasterio'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
