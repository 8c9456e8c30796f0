import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolangbind.errors import SensorError
from geolangbind.sensors import get_sensor
from geolangbind.sensors.records import band_key, nearest

S2 = get_sensor("sentinel-2-l1c")
ENMAP = get_sensor("enmap-l2a")


def names(bands):
    return [band.name for band in bands]


@pytest.mark.parametrize("asked", [["B04", "B03", "B8A"], ["b4", "b3", "b8a"], ["B4", "B003", "B08A"]])
def test_by_name_in_the_order_asked_case_and_padding_do_not_matter(asked):
    assert names(S2.select(bands=asked)) == ["B04", "B03", "B8A"]


def test_by_alias():
    assert names(get_sensor("landsat-8-9-l2").select(["B10", "b4"])) == ["ST_B10", "SR_B4"]
    assert names(get_sensor("copernicus-dem").select(["Elevation M"])) == ["elevation"]


def test_by_wavelength_in_the_order_asked():
    assert names(S2.select(near=[0.665, 0.56, 0.49])) == ["B04", "B03", "B02"]
    assert names(ENMAP.select(near=[0.49, 0.56, 0.665], tol=0.01)) == ["B16", "B30", "B48"]


@given(st.floats(0.43, 2.44))
def test_by_wavelength_is_the_nearest_good_band(wavelength_um):
    distances = {band.name: abs(band.center_wavelength_um - wavelength_um) for band in ENMAP.bands if band.good}
    assert distances[ENMAP.select(near=[wavelength_um], tol=1.0)[0].name] == min(distances.values())


def test_bad_bands_are_picked_by_name_only():
    assert ENMAP.band("B130").center_wavelength_um == 1.33122
    assert not ENMAP.band("B130").good
    with pytest.raises(SensorError, match="no good band within"):
        ENMAP.select(near=[1.38])


def test_the_tolerance_includes_its_end():
    assert names(S2.select(near=[0.6746], tol=0.01)) == ["B04"]
    with pytest.raises(SensorError, match=r"the nearest is B04 at 0\.6646 µm"):
        S2.select(near=[0.6747], tol=0.01)


def test_neither_gives_all_good_bands():
    assert S2.select() == S2.bands
    assert len(ENMAP.select()) == 202


def test_a_wrong_name_lists_the_valid_ones_and_the_nearest():
    with pytest.raises(SensorError, match=r"no band 'B8B' \(did you mean B8A\?\); bands are B01,B02,"):
        S2.select(bands=["B8B"])
    with pytest.raises(SensorError, match=r"bands are B1,B2,B3,\.\.\.,B223,B224"):
        ENMAP.select(bands=["nir"])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ({"bands": ["B4", "B04"]}, "B04 picked more than once"),
        ({"near": [0.66, 0.665]}, "B04 picked more than once"),
        ({"bands": ["B4"], "near": [0.66]}, "not both"),
    ],
)
def test_impossible_selections_are_refused(ask, message):
    with pytest.raises(SensorError, match=message):
        S2.select(**ask)


def test_radar_has_no_wavelength_to_select_by():
    with pytest.raises(SensorError, match="no bands with a wavelength; select by name: VV,VH,HH,HV"):
        get_sensor("sentinel-1-grd").select(near=[0.665])


@pytest.mark.parametrize(("one", "other"), [("B02", "b2"), ("B8A", "b08a"), ("SR-B4", "sr_b04"), ("ST B10", "st_b10")])
def test_band_key_joins_spellings(one, other):
    assert band_key(one) == band_key(other)


@pytest.mark.parametrize(("one", "other"), [("B10", "B1"), ("B100", "B10"), ("B08", "B8A"), ("VV", "VH")])
def test_band_key_keeps_bands_apart(one, other):
    assert band_key(one) != band_key(other)


def test_nearest_prefers_a_common_beginning_and_may_be_silent():
    assert nearest("sentinel-2", ["sentinel-1", "sentinel-2-l2a"]) == " (did you mean sentinel-2-l2a?)"
    assert nearest("zzz", ["B01"]) == ""
