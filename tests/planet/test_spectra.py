"""Spectra and sampling against closed forms and textbook facts."""

import numpy as np
import pytest

from geolangbind.errors import SettingsError
from geolangbind.planet import spectra
from geolangbind.planet.noise import GRID, fractal, rotated, smooth
from geolangbind.planet.render_optical import responses_of
from geolangbind.planet.sampling import sample, sampling_matrix
from geolangbind.sensors import get_sensor

W = spectra.WAVELENGTH_UM


def _at(spectrum: np.ndarray, wavelength_um: float) -> float:
    return float(np.interp(wavelength_um, W, spectrum))


def test_green_vegetation_has_a_red_edge_and_water_bands() -> None:
    leaf = spectra.vegetation(1.2, 0.02, 0.4, 0.1, 0.6)
    ndvi = (_at(leaf, 0.84) - _at(leaf, 0.665)) / (_at(leaf, 0.84) + _at(leaf, 0.665))
    assert ndvi > 0.75
    assert _at(leaf, 0.56) > _at(leaf, 0.665)
    assert _at(leaf, 1.45) < 0.4 * _at(leaf, 1.65) < _at(leaf, 0.84)


def test_canopy_limits() -> None:
    """Without absorption the albedo is 0.97: (1 - sqrt(0.03)) / (1 + sqrt(0.03)) = 0.7047; with much of it there is none left."""
    white = spectra.vegetation(0, 0, 0, 0, 1.0)
    np.testing.assert_allclose(white, 0.7047, atol=1e-4)
    assert spectra.vegetation(50, 0, 0, 0, 1.0)[10] < 1e-6


def test_stress_lowers_near_infrared_only() -> None:
    leaf = spectra.vegetation(1.0, 0.02, 0.4, 0.1, 0.6)
    ill = spectra.stressed(leaf, 0.45)
    visible, plateau = W <= 0.70, (W >= 0.78) & (W <= 1.25)
    np.testing.assert_array_equal(ill[visible], leaf[visible])
    np.testing.assert_allclose(ill[plateau], 0.55 * leaf[plateau], rtol=1e-5)


def test_water_is_dark_beyond_the_red() -> None:
    clear, muddy = spectra.water(0.003, 0.1, 0.01, 0.0), spectra.water(0.3, 0.3, 0.02, 0.0)
    assert _at(clear, 0.84) < 0.3 * _at(clear, 0.49)
    assert _at(clear, 1.6) < 1e-3
    assert _at(muddy, 0.665) > 3 * _at(clear, 0.665)
    # No backscatter, no light: only glint remains.
    assert spectra.water(0.0, 0.1, 0.0, 0.01)[-1] == pytest.approx(0.01, abs=1e-4)


def test_minerals_differ_in_narrow_bands_only() -> None:
    clay, lime = spectra.rock(0.25, 0.2, 0.42, 0.0, 0.1, 0.0), spectra.rock(0.25, 0.2, 0.0, 0.42, 0.1, 0.0)
    assert _at(clay, 2.21) < 0.8 * _at(lime, 2.21)
    assert _at(lime, 2.34) < 0.8 * _at(clay, 2.34)
    for name in ("sentinel-2-l1c", "sentinel-2-l2a"):
        responses = responses_of(get_sensor(name).good_bands)
        np.testing.assert_allclose(responses @ clay, responses @ lime, rtol=0.01)


def test_snow_is_bright_then_dark_and_soil_rises() -> None:
    snow = spectra.man_made("snow", 1.0, 0.0)
    assert _at(snow, 0.56) > 0.85 and _at(snow, 1.61) < 0.2
    soil = spectra.soil(0.25, 0.1, 0.2)
    assert _at(soil, 0.49) < _at(soil, 0.665) < _at(soil, 0.84)
    assert np.all(spectra.soil(0.25, 0.1, 0.8) < soil)
    with pytest.raises(KeyError):
        spectra.man_made("cheese", 1.0, 0.0)


def test_band_responses_are_gaussians_of_unit_sum() -> None:
    response = spectra.band_responses([0.665, 1.61], [0.03, 0.09])
    np.testing.assert_allclose(response.sum(1), 1, rtol=1e-5)
    # A linear spectrum seen through a symmetric band is its value at the centre.
    np.testing.assert_allclose(response @ (0.1 + 0.2 * W), [0.1 + 0.2 * 0.665, 0.1 + 0.2 * 1.61], rtol=1e-3)
    half = np.interp(0.665 + 0.015, W, response[0]) / response[0].max()
    assert half == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("pixels", "gsd_m", "native_m"), [(64, 10, 10), (64, 10, 20), (64, 10, 60), (32, 20, 30), (64, 10, 100), (20, 10, 10)]
)
def test_sampling_keeps_means_and_ramps(pixels: int, gsd_m: float, native_m: float) -> None:
    flat = np.full((GRID, GRID), 0.37, np.float32)
    np.testing.assert_allclose(sample(flat, pixels, gsd_m, native_m, 0.4), 0.37, rtol=1e-4)
    ramp = np.broadcast_to((np.arange(GRID, dtype=np.float32) + 0.5) * 5, (GRID, GRID)).copy()
    row = sample(ramp, pixels, gsd_m, native_m, 0.3)[pixels // 2]
    centers = (640 - pixels * gsd_m) / 2 + (np.arange(pixels) + 0.5) * gsd_m
    inner = slice(pixels // 3, 2 * pixels // 3)
    np.testing.assert_allclose(row[inner], centers[inner], atol=0.05 * native_m)


def test_coarse_bands_are_smoother_and_too_large_a_picture_is_refused() -> None:
    rough = np.random.default_rng(0).standard_normal((GRID, GRID)).astype(np.float32)
    spreads = [sample(rough, 64, 10, native, 0.4).std() for native in (10, 20, 60)]
    assert spreads[0] > 1.5 * spreads[1] > 2 * spreads[2]
    with pytest.raises(SettingsError, match="640 m"):
        sampling_matrix(65, 10.0, 10.0, 0.4)


def test_noise_has_unit_spread_and_frames_turn() -> None:
    rng = np.random.default_rng(1)
    assert np.mean([smooth(rng, 8).std() for _ in range(20)]) == pytest.approx(1, abs=0.15)
    assert fractal(rng, 2, 32).std() == pytest.approx(1, abs=1e-3)
    u, v = rotated(np.pi / 2)
    x, y = rotated(0.0)
    np.testing.assert_allclose(u, y, atol=1e-3)
    np.testing.assert_allclose(v, -x, atol=1e-3)
