"""Reflectance spectra of the planet's materials over 0.4-2.5 µm, drawn anew for every scene.

Shapes follow textbook physics with few parameters: leaves and canopies after the idea of PROSPECT (Jacquemoud and Baret 1990) with an
infinitely deep canopy (Hapke's two-stream albedo), water after Gordon et al. (1988), soils and man-made surfaces as smooth curves
through knots. Minerals carry Gaussian absorptions at their diagnostic wavelengths (Clark et al. 1990).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geolangbind.planet.noise import Map

WAVELENGTH_UM: NDArray[np.float64] = np.round(np.arange(0.40, 2.5001, 0.01), 3)
"""Grid of all spectra: 211 wavelengths, 10 nm apart."""


def _curve(*knots: tuple[float, float]) -> NDArray[np.float64]:
    """Return the curve through (wavelength, value) knots on the grid, linear between, held at the ends."""
    x, y = zip(*knots, strict=True)
    return np.asarray(np.interp(WAVELENGTH_UM, x, y))


def _dip(center_um: float, width_um: float, depth: float) -> NDArray[np.float64]:
    """Return a Gaussian absorption as a factor: 1 away from `center_um`, 1 - depth in the middle."""
    return np.asarray(1 - depth * np.exp(-(((WAVELENGTH_UM - center_um) / width_um) ** 2) / 2))


_CHLOROPHYLL = _curve(
    (0.40, 1.60), (0.45, 1.70), (0.50, 1.35), (0.53, 0.90), (0.55, 0.78), (0.57, 0.86), (0.60, 1.02), (0.63, 1.15), (0.66, 1.38),
    (0.675, 1.52), (0.69, 1.15), (0.70, 0.68), (0.71, 0.38), (0.72, 0.20), (0.73, 0.10), (0.74, 0.05), (0.76, 0.015), (0.78, 0.0),
)  # fmt: skip
_LIQUID_WATER_PER_CM = _curve(
    (0.40, 0.0), (0.70, 0.006), (0.75, 0.026), (0.80, 0.02), (0.85, 0.043), (0.90, 0.068), (0.97, 0.48), (1.0, 0.36), (1.07, 0.13),
    (1.15, 0.9), (1.2, 1.04), (1.25, 0.9), (1.3, 1.1), (1.35, 2.5), (1.4, 12.0), (1.45, 26.0), (1.5, 18.0), (1.55, 10.5), (1.6, 6.7),
    (1.65, 5.2), (1.7, 5.4), (1.8, 8.0), (1.87, 12.0), (1.9, 60.0), (1.93, 115.0), (1.97, 105.0), (2.0, 68.0), (2.1, 25.0),
    (2.15, 18.0), (2.2, 16.5), (2.25, 19.0), (2.3, 25.0), (2.4, 45.0), (2.5, 85.0),
)  # fmt: skip
_DRY_MATTER = _curve(
    (0.4, 0.6), (0.5, 0.4), (0.6, 0.2), (0.7, 0.1), (0.8, 0.06), (1.0, 0.04), (1.2, 0.05), (1.4, 0.1), (1.6, 0.14), (1.7, 0.2),
    (1.75, 0.2), (2.0, 0.35), (2.1, 0.45), (2.2, 0.42), (2.3, 0.6), (2.4, 0.6), (2.5, 0.7),
)  # fmt: skip
_BROWN = _curve(
    (0.40, 2.2), (0.45, 1.8), (0.5, 1.4), (0.55, 1.0), (0.6, 0.75), (0.65, 0.55), (0.7, 0.4), (0.8, 0.2), (0.9, 0.1), (1.0, 0.0)
)
_WATER_PER_M = _curve(
    (0.40, 0.007), (0.45, 0.009), (0.50, 0.02), (0.55, 0.057), (0.60, 0.22), (0.65, 0.34), (0.70, 0.62), (0.75, 2.6), (0.80, 2.0),
    (0.85, 4.3), (0.90, 6.8), (0.97, 48.0), (1.07, 15.0), (1.2, 100.0), (1.45, 2600.0), (1.65, 520.0), (1.9, 6000.0), (2.2, 1650.0),
    (2.5, 8500.0),
)  # fmt: skip
_SOIL = _curve(
    (0.40, 0.30), (0.45, 0.36), (0.50, 0.45), (0.55, 0.58), (0.60, 0.72), (0.65, 0.80), (0.70, 0.88), (0.80, 1.0), (0.87, 1.05),
    (1.0, 1.17), (1.25, 1.32), (1.65, 1.40), (1.8, 1.38), (2.0, 1.22), (2.13, 1.22), (2.2, 1.14), (2.3, 1.10), (2.5, 0.95),
)  # fmt: skip


def vegetation(chlorophyll: float, water_cm: float, dry: float, brown: float, shade: float) -> Map:
    """Return canopy reflectance (211,) from leaf absorption and a shadow factor.

    Args:
        chlorophyll: 1 is a dense green canopy, 0 none.
        water_cm: equivalent water thickness in cm.
        dry: dry matter, 1 is much.
        brown: brown pigments, 1 is straw.
        shade: share of light that canopy structure leaves, 0.3 (conifers) to 0.7 (flat grass).
    """
    absorption = chlorophyll * _CHLOROPHYLL + 1.6 * water_cm * _LIQUID_WATER_PER_CM + dry * _DRY_MATTER + brown * _BROWN
    albedo = 0.97 * np.exp(-absorption)
    root = np.sqrt(1 - albedo)
    return np.asarray(shade * (1 - root) / (1 + root), np.float32)


def stressed(spectrum: Map, strength: float) -> Map:
    """Return `spectrum` with its near-infrared plateau lowered by `strength` and everything below 0.70 µm as it was."""
    ramp = _curve((0.70, 0.0), (0.76, 1.0), (1.30, 1.0), (1.45, 0.3), (2.5, 0.3))
    return np.asarray(spectrum * (1 - strength * ramp), np.float32)


def soil(brightness: float, redness: float, moisture: float, iron: float = 0.0) -> Map:
    """Return soil reflectance (211,); `brightness` is the value at 0.8 µm when dry, `redness` bends the visible slope (0 is neutral)."""
    base = brightness * _SOIL * np.minimum(WAVELENGTH_UM / 0.8, 1.0) ** redness
    base = base * _dip(0.48, 0.06, 0.35 * iron) * _dip(0.87, 0.06, 0.2 * iron)
    return np.asarray(base * (1 - 0.45 * moisture) * np.exp(-0.02 * moisture * _LIQUID_WATER_PER_CM), np.float32)


def water(sediment: float, cdom: float, algae: float, glint: float) -> Map:
    """Return water-leaving plus glint reflectance (211,).

    Args:
        sediment: backscatter of suspended matter at 0.55 µm in 1/m.
        cdom: absorption by dissolved organic matter at 0.44 µm in 1/m.
        algae: absorption scale of phytoplankton in 1/m.
        glint: wavelength-independent reflectance of the surface.
    """
    blue_decay = np.exp(-0.014e3 * (WAVELENGTH_UM - 0.44))
    absorption = _WATER_PER_M + (cdom + 1.6 * sediment) * blue_decay + algae * _CHLOROPHYLL / 1.7
    backscatter = 0.0015 * (0.5 / WAVELENGTH_UM) ** 4.3 + sediment * (0.55 / WAVELENGTH_UM) ** 0.7 + 0.1 * algae
    # 0.30: irradiance reflectance of u = bb / (a + bb) including the surface's transmission both ways.
    return np.asarray(0.30 * backscatter / (absorption + backscatter) + glint, np.float32)


BROAD_DIP = 0.31
"""Depth of carbonate rock's broad dip over that of its narrow one: equal means over Sentinel-2's B12 (a test checks it)."""


def rock(brightness: float, redness: float, kaolinite: float, carbonate: float, iron: float, slope: float) -> Map:
    """Return bare rock (211,) with the 2.16/2.21 µm doublet of kaolinite, 2.34 µm of carbonate and 0.87 µm of iron oxide.

    Carbonate rock also has a broad shallow dip about 2.2 µm, so that a band as wide as Sentinel-2's B12 sees the same from both;
    `slope` tilts the short-wave infrared by a power of wavelength.
    """
    base = brightness * (0.45 + 0.55 * _SOIL / 1.2) * np.minimum(WAVELENGTH_UM / 0.8, 1.0) ** redness
    base = base * _dip(2.165, 0.012, 0.6 * kaolinite) * _dip(2.207, 0.016, kaolinite) * _dip(2.335, 0.025, carbonate)
    base = base * _dip(2.19, 0.075, BROAD_DIP * carbonate) * np.maximum(WAVELENGTH_UM / 1.6, 1.0) ** slope
    return np.asarray(base * _dip(0.49, 0.06, 0.3 * iron) * _dip(0.88, 0.07, 0.3 * iron), np.float32)


_MAN_MADE: dict[str, NDArray[np.float64]] = {
    "asphalt": _curve((0.4, 0.06), (0.6, 0.085), (0.8, 0.105), (1.2, 0.13), (1.7, 0.14), (2.3, 0.125), (2.5, 0.12)),
    "concrete": _curve((0.4, 0.09), (0.5, 0.13), (0.7, 0.175), (1.0, 0.19), (1.7, 0.20), (2.2, 0.175), (2.35, 0.16), (2.5, 0.15)),
    "white_roof": _curve((0.4, 0.30), (0.45, 0.42), (0.6, 0.46), (0.9, 0.46), (1.2, 0.44), (1.7, 0.40), (2.2, 0.34), (2.5, 0.28)),
    "red_roof": _curve((0.4, 0.05), (0.5, 0.065), (0.57, 0.11), (0.62, 0.19), (0.7, 0.24), (0.9, 0.25), (1.7, 0.36), (2.5, 0.3)),
    "grey_roof": _curve((0.4, 0.08), (0.6, 0.115), (0.9, 0.14), (1.7, 0.14), (2.5, 0.12)),
    "blue_roof": _curve((0.4, 0.14), (0.47, 0.22), (0.55, 0.14), (0.63, 0.09), (0.75, 0.15), (0.9, 0.22), (1.7, 0.22), (2.5, 0.16)),
    "gravel": _curve((0.4, 0.14), (0.5, 0.19), (0.7, 0.26), (1.0, 0.30), (1.7, 0.35), (2.2, 0.32), (2.5, 0.28)),
    "panel": _curve((0.4, 0.05), (0.47, 0.06), (0.6, 0.035), (0.95, 0.05), (1.05, 0.13), (1.2, 0.20), (1.7, 0.16), (2.5, 0.10)),
    "shade": _curve((0.4, 0.02), (0.5, 0.016), (0.65, 0.012), (0.75, 0.03), (1.2, 0.03), (1.7, 0.015), (2.5, 0.008)),
    "snow": _curve(
        (0.4, 0.95), (0.7, 0.92), (0.9, 0.85), (1.03, 0.68), (1.1, 0.74), (1.25, 0.40), (1.33, 0.42), (1.5, 0.03), (1.65, 0.12),
        (1.8, 0.14), (2.0, 0.02), (2.24, 0.10), (2.5, 0.02),
    ),
}  # fmt: skip


def man_made(name: str, gain: float, tilt: float) -> Map:
    """Return the surface `name` (a key of the table above) times `gain`, bent by the power `tilt` of wavelength over 0.8 µm.

    Raises:
        KeyError: no such surface.
    """
    return np.asarray(np.clip(gain * _MAN_MADE[name] * (WAVELENGTH_UM / 0.8) ** tilt, 0.0, 1.1), np.float32)


def band_responses(centers_um: Sequence[float], fwhms_um: Sequence[float]) -> Map:
    """Return the Gaussian responses (bands, 211) of bands by centre and full width at half maximum, each row summing to one."""
    center = np.asarray(centers_um)[:, None]
    # A width under the grid's step would fall between two grid points.
    sigma = np.maximum(np.asarray(fwhms_um)[:, None], 0.012) / 2.3548
    response = np.exp(-(((WAVELENGTH_UM[None] - center) / sigma) ** 2) / 2)
    return np.asarray(response / response.sum(axis=1, keepdims=True), np.float32)
