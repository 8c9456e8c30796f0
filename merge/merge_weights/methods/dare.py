"""DARE: drop most elements of the task vectors at random, scale the others up, then task arithmetic."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from merge_weights.methods.options import Array, Options, check_density, check_inputs


def dare(base: Array, branches: Sequence[Array], coefficients: Sequence[float], options: Options) -> Array:
    """Merge as Yu et al. 2024 do (arXiv 2311.03099): base + sum_i lambda_i keep_i (theta_i - base) / density.

    Every element is kept with probability `density` on its own, so on average the task vectors stay what they are. The choice depends on
    the seed, the tensor's name, the branch's place and the element's place, and on nothing else: the same on every machine, in any
    order of tensors.

    Args:
        base: float64, any shape.
        branches: float64, that shape.
        coefficients: lambda_i, any finite number.
        options: density, seed and key.

    Returns:
        A new float64 array of that shape.

    Raises:
        MergeError: impossible coefficients or density.
    """
    check_inputs("dare", base, branches, coefficients)
    check_density("dare", options.density, taken=True)
    change = np.zeros(base.shape)
    for index, (branch, scale) in enumerate(zip(branches, coefficients, strict=True)):
        kept = np.asarray((scale / options.density) * (branch - base))
        if options.density < 1:
            kept[~keep_mask(options, index, kept.size).reshape(kept.shape)] = 0
        change += kept
    change += base
    return change


def keep_mask(options: Options, branch: int, size: int) -> NDArray[np.bool_]:
    """Return which of `size` elements of a branch (counted from 0) are kept.

    The numbers are Philox's raw ones: numpy guarantees their stream, and not that of floats drawn from it.
    """
    name = hashlib.sha256(options.key.encode()).hexdigest()
    words = hashlib.sha256(f"{options.seed} {name} {branch}".encode()).digest()
    raw = np.random.Philox(key=int.from_bytes(words[:16], "little")).random_raw(size)
    # their upper 53 bits are uniform on [0, 2^53), as for a float64 in [0, 1)
    return np.asarray((raw >> np.uint64(11)) < np.uint64(options.density * 2**53))
