"""SLERP: along the great circle from the base to one branch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from merge_weights.errors import MergeError
from merge_weights.methods.options import Array, Options, check_density, check_inputs

PARALLEL_RAD = 1e-6
"""Below this angle to 0 or pi, lerp: near 0 it differs from slerp by the square of the angle, at pi there is no one great circle."""


def slerp(base: Array, branches: Sequence[Array], coefficients: Sequence[float], options: Options) -> Array:
    """Interpolate spherically (Shoemake 1985, "Animating rotation with quaternion curves"), each tensor as one vector.

    (sin((1 - t) phi) base + sin(t phi) branch) / sin(phi), where phi is the angle between the two: the direction turns at an even speed,
    and where both are equally long that length stays. Lerp takes over where either is zero or phi is within `PARALLEL_RAD` of 0 or pi.

    Args:
        base: float64, any shape: where t = 0 stands.
        branches: one, that shape: where t = 1 stands.
        coefficients: t, in [0, 1]. 0 and 1 give the endpoints bit for bit.
        options: none is taken.

    Returns:
        A new float64 array of that shape.

    Raises:
        MergeError: more than one branch, t outside [0, 1], or a density.
    """
    check_inputs("slerp", base, branches, coefficients)
    check_density("slerp", options.density, taken=False)
    if len(branches) > 1:
        raise MergeError(f"slerp goes from the base to one branch, not {len(branches)}; merge the others in another run, or use linear")
    (branch,), (t,) = branches, coefficients
    if not 0 <= t <= 1:
        raise MergeError(f"slerp has the coefficient {t}, but it lies between 0 (the base) and 1 (the branch)")
    if t in (0, 1):
        return (branch if t else base).copy()
    phi = angle_rad(base, branch)
    near, far = 1 - t, t
    if PARALLEL_RAD < phi < np.pi - PARALLEL_RAD:
        near, far = np.sin(near * phi) / np.sin(phi), np.sin(far * phi) / np.sin(phi)
    return np.asarray(near * base + far * branch)


def angle_rad(a: Array, b: Array) -> float:
    """Return the angle between two arrays taken as vectors, 0 to pi; 0 where either is zero.

    Kahan's formula on unit vectors, because an arc cosine loses half the digits near 0.
    """
    flat = [values.reshape(-1) for values in (a, b)]
    largest = [float(np.abs(values).max(initial=0.0)) for values in flat]
    if 0.0 in largest:
        return 0.0
    x, y = (values / size for values, size in zip(flat, largest, strict=True))  # squares of tiny numbers would vanish
    x /= np.linalg.norm(x)
    y /= np.linalg.norm(y)
    return float(2 * np.arctan2(np.linalg.norm(x - y), np.linalg.norm(x + y)))
