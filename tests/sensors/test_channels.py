import pytest

from geolangbind.errors import SensorError, UnitError
from geolangbind.sensors import KINDS, Band, ChannelSet, Unit, channel_set, get_sensor, modality_of
from geolangbind.sensors.channels import kind_of, radar_band


def test_kinds_are_distinct_and_keep_their_order():
    assert len(KINDS) == len(set(KINDS)) == 7 + 2 * 7 * 4
    # rows of trained tables follow this order
    assert KINDS[:8] == (
        "reflectance_toa", "reflectance_surface", "display", "brightness_temperature", "surface_temperature", "elevation", "height",
        "sigma0_vv_p",
    )  # fmt: skip


@pytest.mark.parametrize(("ghz", "letter"), [(0.435, "p"), (1.27, "l"), (3.2, "s"), (5.405, "c"), (9.65, "x"), (13.5, "ku"), (35, "ka")])
def test_radar_band_letters(ghz, letter):
    assert radar_band(ghz) == letter


def test_a_frequency_between_bands_is_refused():
    with pytest.raises(SensorError, match="20 GHz lies in no radar band"):
        radar_band(20)


@pytest.mark.parametrize(
    ("sensor", "band", "unit", "kind"),
    [
        ("sentinel-2-l1c", "B04", Unit.REFLECTANCE, "reflectance_toa"),
        ("sentinel-2-l2a", "B04", Unit.REFLECTANCE, "reflectance_surface"),
        ("sentinel-1-grd", "VH", Unit.SIGMA0_DB, "sigma0_vh_c"),
        ("sentinel-1-grd", "HV", Unit.GAMMA0_DB, "gamma0_hv_c"),
        ("aerial-rgb", "R", Unit.DISPLAY_U8, "display"),
        ("landsat-8-9-l2", "ST_B10", Unit.SURFACE_TEMPERATURE_K, "surface_temperature"),
        ("aster-tir", "B13", Unit.BRIGHTNESS_TEMPERATURE_K, "brightness_temperature"),
        ("srtm", "elevation", Unit.ELEVATION_M, "elevation"),
        ("airborne-lidar", "hag", Unit.HEIGHT_M, "height"),
    ],
)
def test_kind_of(sensor, band, unit, kind):
    record = get_sensor(sensor)
    assert kind_of(record.band(band), unit, record.product_level) == kind


def test_kind_of_refuses_what_is_not_known():
    with pytest.raises(UnitError, match="needs a product level"):
        kind_of(get_sensor("naip").band("R"), Unit.REFLECTANCE, "none")
    with pytest.raises(SensorError, match="no radar frequency or polarisation"):
        kind_of(Band("VV"), Unit.SIGMA0_DB, "none")
    with pytest.raises(UnitError, match="convert it first"):
        kind_of(get_sensor("lwir-camera").bands[0], Unit.CELSIUS, "none")


def test_channel_set_of_radar_carries_frequencies_and_no_wavelengths():
    sensor = get_sensor("sentinel-1-grd")
    got = channel_set(sensor, sensor.select(["VV", "VH"]), Unit.SIGMA0_DB)
    assert got == ChannelSet((0.0, 0.0), ("sigma0_vv_c", "sigma0_vh_c"), (5.405, 5.405))
    assert len(got) == 2 and hash(got) == hash(channel_set(sensor, sensor.select(["VV", "VH"]), Unit.SIGMA0_DB))


def test_channel_set_of_optics_keeps_the_order():
    sensor = get_sensor("sentinel-2-l2a")
    got = channel_set(sensor, sensor.select(["B04", "B02"]), Unit.REFLECTANCE)
    assert (got.wavelengths_um, got.frequencies_ghz) == ((0.6646, 0.4927), (0.0, 0.0))


def test_optical_bands_without_wavelength_are_refused():
    sensor = get_sensor("srtm")
    with pytest.raises(SensorError, match="elevation of srtm has no centre wavelength"):
        channel_set(sensor, sensor.bands, Unit.DISPLAY_U8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "at least one channel"),
        (((0.5, 0.6), ("display",)), "2 wavelengths but 1 kinds"),
        (((0.5,), None, (0.0, 0.0)), "1 wavelengths but 2 frequencies_ghz"),
        (((0.5,), ("colour",)), r"unknown channel kinds \['colour'\]"),
    ],
)
def test_impossible_channel_sets_are_refused(arguments, message):
    with pytest.raises(SensorError, match=message):
        ChannelSet(*arguments)


@pytest.mark.parametrize(
    ("sensor", "unit", "modality"),
    [
        ("landsat-8-9-l1", Unit.BRIGHTNESS_TEMPERATURE_K, "ir"),
        ("landsat-8-9-l1", Unit.REFLECTANCE, "msi"),
        ("sentinel-2-l2a", Unit.DISPLAY_U8, "rgb"),
        ("sentinel-2-tci", Unit.DISPLAY_U8, "rgb"),
        ("lwir-camera", Unit.DISPLAY_U8, "ir"),
        ("sentinel-1-grd", Unit.SIGMA0_DB, "sar"),
    ],
)
def test_the_modality_follows_what_the_pixels_hold(sensor, unit, modality):
    assert modality_of(get_sensor(sensor), unit) == modality


def test_reflectance_at_thermal_wavelengths_is_refused():
    landsat = get_sensor("landsat-8-9-l1")
    with pytest.raises(UnitError, match=r"B10 .*10\.895.*brightness_temperature_k.*apart"):
        channel_set(landsat, landsat.select(bands=["B4", "B10"]), Unit.REFLECTANCE)
    with pytest.raises(UnitError, match="B4"):
        channel_set(landsat, landsat.select(bands=["B4"]), Unit.BRIGHTNESS_TEMPERATURE_K)


def test_wavelengths_must_be_finite():
    with pytest.raises(SensorError, match="finite"):
        ChannelSet((0.5, float("nan")))


def test_subset_keeps_all_descriptions_together():
    whole = ChannelSet((0.4, 0.5, 0.0), ("display", "display", "sigma0_vv_c"), (0.0, 0.0, 5.405))
    assert whole.subset([2, 0]) == ChannelSet((0.0, 0.4), ("sigma0_vv_c", "display"), (5.405, 0.0))
    assert ChannelSet((0.4, 0.5)).subset([1]) == ChannelSet((0.5,))
