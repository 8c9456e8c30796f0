"""How a sensor's pixels see the 5 m grid: box times point spread, native sampling, resampling to the product's pixels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from geolangbind.errors import SettingsError
from geolangbind.planet.noise import CELL_M, FOOTPRINT_M, GRID, Map


@lru_cache(maxsize=256)
def sampling_matrix(pixels: int, gsd_m: float, native_m: float, spread: float) -> Map:
    """Return the matrix (pixels, GRID) that takes one axis of the grid to one axis of the product.

    Each native pixel is a box convolved with a Gaussian of `spread` native pixels. Bands coarser than the product are sampled on their own
    grid first and then interpolated linearly, as products on a common grid do.

    Args:
        pixels: pixels of the product along the axis, centred on the footprint.
        gsd_m: their size.
        native_m: the band's own sampling distance; never taken finer than `gsd_m`.
        spread: standard deviation of the point spread in native pixels.

    Raises:
        SettingsError: the product is larger than the scene.
    """
    if pixels * gsd_m > FOOTPRINT_M * 1.001:
        raise SettingsError(
            f"{pixels} pixels of {gsd_m} m are more than the planet's scene of {FOOTPRINT_M:.0f} m; ask for fewer or smaller pixels"
        )
    start = (FOOTPRINT_M - pixels * gsd_m) / 2
    wanted = start + (np.arange(pixels) + 0.5) * gsd_m
    native = max(native_m, gsd_m)
    if native <= gsd_m * 1.01:
        return _box(wanted, gsd_m, spread)
    count = int(np.ceil(FOOTPRINT_M / native)) + 1
    centers = FOOTPRINT_M / 2 + (np.arange(count) - (count - 1) / 2) * native
    position = np.clip((wanted - centers[0]) / native, 0, count - 1.000001)
    left = position.astype(int)
    share = position - left
    resample = np.zeros((pixels, count), np.float32)
    resample[np.arange(pixels), left] = 1 - share
    resample[np.arange(pixels), left + 1] += share
    return np.asarray(resample @ _box(centers, native, spread), np.float32)


def _box(centers_m: NDArray[np.floating[Any]], size_m: float, spread: float) -> Map:
    """Return the weights of grid cells in boxes of `size_m` blurred by a Gaussian; rows sum to one (edges take what is inside)."""
    cells = (np.arange(GRID) + 0.5) * CELL_M
    away = np.abs(cells[None] - centers_m[:, None])
    sigma = max(spread * size_m, 0.1 * CELL_M)
    weight = ndtr((size_m / 2 - away) / sigma) - ndtr((-size_m / 2 - away) / sigma) + 1e-12
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float32)


def sample(maps: Map, pixels: int, gsd_m: float, native_m: float, spread: float) -> Map:
    """Sample maps (..., GRID, GRID) to (..., pixels, pixels); see `sampling_matrix`."""
    matrix = sampling_matrix(pixels, float(gsd_m), float(native_m), round(float(spread), 2))
    return np.asarray(matrix @ maps @ matrix.T, np.float32)
