import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolangbind.errors import UnitError
from geolangbind.sensors.units import PLAUSIBLE_RANGE, Unit, to_canonical


def f32(*values):
    return np.array(values, np.float32)


def test_parse_lists_the_units():
    assert Unit.parse("gamma0_db") is Unit.GAMMA0_DB
    with pytest.raises(UnitError, match="unknown unit 'db'; units are reflectance, dn, display_u8"):
        Unit.parse("db")


@pytest.mark.parametrize(
    ("unit", "values", "expected", "canonical"),
    [
        (Unit.SIGMA0_LINEAR, f32(1, 0.1, 100), f32(0, -10, 20), Unit.SIGMA0_DB),
        (Unit.GAMMA0_LINEAR, f32(0.01), f32(-20), Unit.GAMMA0_DB),
        (Unit.SIGMA0_LINEAR, f32(0, -1), f32(-60, -60), Unit.SIGMA0_DB),
        (Unit.SIGMA0_AMPLITUDE, f32(1, 0.1, 10, 0), f32(0, -20, 20, -60), Unit.SIGMA0_DB),
        (Unit.GAMMA0_AMPLITUDE, f32(0.5), f32(-6.0206), Unit.GAMMA0_DB),
        (Unit.CELSIUS, f32(0, 26.85), f32(273.15, 300), Unit.BRIGHTNESS_TEMPERATURE_K),
        (Unit.DISPLAY_U8, f32(0, 51, 255), f32(0, 0.2, 1), Unit.DISPLAY_U8),
        (Unit.REFLECTANCE, f32(-0.01, 1.2), f32(-0.01, 1.2), Unit.REFLECTANCE),
        (Unit.SURFACE_TEMPERATURE_K, f32(300), f32(300), Unit.SURFACE_TEMPERATURE_K),
        (Unit.ELEVATION_M, f32(-430, 8848), f32(-430, 8848), Unit.ELEVATION_M),
    ],
)
def test_to_canonical(unit, values, expected, canonical):
    got, got_unit = to_canonical(values, unit)
    assert got_unit is canonical and got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-5)


@given(st.floats(-50, 30))
def test_decibel_round_trip(decibel):
    got, _ = to_canonical(f32(10 ** (decibel / 10)), Unit.SIGMA0_LINEAR)
    assert got[0] == pytest.approx(decibel, abs=1e-4)


def test_digital_numbers_mean_nothing():
    with pytest.raises(UnitError, match="--scale, --offset, --unit"):
        to_canonical(f32(1), Unit.DN)


def test_every_unit_but_dn_has_a_plausible_range():
    assert set(PLAUSIBLE_RANGE) == set(Unit) - {Unit.DN}
    assert all(low < high for low, high in PLAUSIBLE_RANGE.values())
