"""Pixels of an imaging radar: backscatter per material and polarisation, buildings as bright points, slopes, speckle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geolangbind.planet.materials import MATERIALS
from geolangbind.planet.noise import GRID, Map
from geolangbind.planet.sampling import sample
from geolangbind.planet.scene import Scene
from geolangbind.planet.terrain import bare_ground, ground_of, relief_light
from geolangbind.sensors.records import Band
from geolangbind.sensors.units import Unit

_NOISE_FLOOR = 10**-2.7
"""Noise-equivalent sigma0, -27 dB: Sentinel-1 states better than -22."""
_SPECKLE_SPREAD = 0.6
"""Gaussian of this many pixels over single-look speckle leaves about 4.5 looks, those of Sentinel-1 GRD, and its correlation."""


def _mean_db(scene: Scene, names: Sequence[str], cross: bool, shift: Map) -> Map:
    """Return the mean backscatter in dB of the materials; `shift` (materials) is the scene's own deviation of each."""
    level: Map = np.array([MATERIALS[name].vh_db if cross else MATERIALS[name].vv_db for name in names], np.float32)
    if scene.spec.twist == "flooded":
        # Water under trees doubles the bounce between trunk and ground, mostly in the like polarisation.
        wood = np.array([name.startswith("tree") for name in names])
        level += wood * np.float32(1.0 if cross else 5.5)
    return np.asarray(level + shift, np.float32)


def backscatter(scene: Scene, bands: Sequence[Band], unit: Unit, pixels: int, gsd_m: float, rng: np.random.Generator) -> Map:
    """Return backscatter (bands, pixels, pixels) float32 in a sigma0 or gamma0 unit, decibel or linear.

    Args:
        scene: the scene.
        bands: radar bands with a polarisation.
        unit: one of the four radar units.
        pixels: size of the picture.
        gsd_m: its pixel spacing.
        rng: for incidence angle, moisture, wind and speckle.
    """
    ground = ground_of(scene)
    incidence = np.radians(float(rng.uniform(31, 45)))
    common = float(rng.normal(0, 0.7)) - 8 * float(incidence - np.radians(39))
    shift = rng.normal(0, 0.9, len(MATERIALS)).astype(np.float32)
    wind = float(rng.normal(0, 3.0))
    # Dihedrals between walls and street: few cells hold most of a town's energy.
    built = (ground.cover == 5) | (ground.cover == 9)
    glitter = np.where(built, np.exp(1.1 * rng.standard_normal((GRID, GRID), np.float32) - 0.3), 1)
    look = 1.0 if rng.random() < 0.5 else -1.0
    slope = (
        np.gradient(bare_ground(scene), np.float32(5.0), axis=1) if relief_light(scene).std() > 1e-3 else np.zeros((GRID, GRID), np.float32)
    )
    tilt = np.exp(np.clip(2.6 * look * slope, -1.2, 1.6))
    share = ground.fractions / ground.fractions.sum(axis=0)
    images = []
    for band in bands:
        polarization = (band.polarization or "VV").upper()
        cross = polarization[0] != polarization[-1]
        names_shift = np.array(
            [shift[list(MATERIALS).index(name)] + (wind if name == "water" else common) for name in ground.names], np.float32
        )
        linear = 10 ** (_mean_db(scene, ground.names, cross, names_shift) / 10)
        power = np.tensordot(linear, share, 1) * 10 ** (ground.rough_db / 10) * glitter * tilt
        seen = sample(power.astype(np.float32), pixels, gsd_m, gsd_m, 0.3) + np.float32(_NOISE_FLOOR)
        looks = seen * rng.standard_exponential((pixels, pixels), np.float32)
        smear = _smear(pixels)
        images.append(smear @ looks @ smear.T)
    image = np.stack(images).astype(np.float32)
    if unit in (Unit.GAMMA0_DB, Unit.GAMMA0_LINEAR):
        image /= np.float32(np.cos(incidence))
    if unit in (Unit.SIGMA0_DB, Unit.GAMMA0_DB):
        image = 10 * np.log10(np.maximum(image, np.float32(1e-5)))
    return np.asarray(image, np.float32)


def _smear(pixels: int) -> Map:
    """Return the (pixels, pixels) Gaussian smoothing matrix of the radar's multi-looking; rows sum to one."""
    away = np.arange(pixels)[:, None] - np.arange(pixels)[None]
    weight = np.exp(-((away / _SPECKLE_SPREAD) ** 2) / 2)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float32)
