"""Smooth random maps on the planet's working grid: 128 x 128 cells of 5 m, the 640 m footprint at twice the finest sampling."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

GRID = 128
FOOTPRINT_M = 640.0
CELL_M = FOOTPRINT_M / GRID

Map = NDArray[np.float32]


@cache
def _spline_matrix(count: int) -> Map:
    """Return the (GRID, count + 3) matrix that evaluates a uniform cubic B-spline with `count` spans on the grid."""
    position = (np.arange(GRID) + 0.5) / GRID * count
    span = np.minimum(position.astype(int), count - 1)
    t = position - span
    basis = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    matrix = np.zeros((GRID, count + 3), np.float32)
    for k in range(4):
        matrix[np.arange(GRID), span + k] = basis[k]
    return matrix


def smooth(rng: np.random.Generator, count: int) -> Map:
    """Return smooth noise with `count` bumps across the footprint: (GRID, GRID) float32, about zero mean and unit spread."""
    if count >= GRID:
        return rng.standard_normal((GRID, GRID), np.float32)
    matrix = _spline_matrix(count)
    field = matrix @ rng.standard_normal((count + 3, count + 3), np.float32) @ matrix.T
    # A cubic B-spline averages its coefficients: the spread of one axis falls to sqrt(sum of squared basis values), 0.48 on average.
    return np.asarray(field / np.float32(0.48), np.float32)


def fractal(rng: np.random.Generator, first: int, last: int, persistence: float = 0.6) -> Map:
    """Return fractal noise, octaves from `first` to `last` bumps across: (GRID, GRID) float32, zero mean, unit spread.

    Args:
        rng: source of randomness.
        first: bumps across the footprint in the coarsest octave.
        last: the same in the finest octave.
        persistence: amplitude of an octave over that of the coarser one; below 1 is smooth, above 1 is rough.
    """
    total = np.zeros((GRID, GRID), np.float32)
    amplitude, count = 1.0, first
    while count <= last:
        total += np.float32(amplitude) * smooth(rng, count)
        amplitude *= persistence
        count *= 2
    total -= total.mean()
    return np.asarray(total / (total.std() + np.float32(1e-6)), np.float32)


@cache
def axes_m() -> tuple[Map, Map]:
    """Return x (to the east) and y (to the south) of the cell centres in metres from the north-west corner, (1, GRID) and (GRID, 1)."""
    centre = ((np.arange(GRID) + 0.5) * CELL_M).astype(np.float32)
    return centre[None, :], centre[:, None]


def rotated(angle_rad: float, x_m: float = FOOTPRINT_M / 2, y_m: float = FOOTPRINT_M / 2) -> tuple[Map, Map]:
    """Return the coordinates (u, v) in metres of every cell in a frame turned by `angle_rad` about (x_m, y_m), each (GRID, GRID)."""
    x, y = axes_m()
    cos, sin = np.float32(np.cos(angle_rad)), np.float32(np.sin(angle_rad))
    return (x - np.float32(x_m)) * cos + (y - np.float32(y_m)) * sin, (y - np.float32(y_m)) * cos - (x - np.float32(x_m)) * sin
