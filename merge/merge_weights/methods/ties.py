"""TIES: trim the task vectors, elect a sign for every element, average those that have it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from merge_weights.methods.options import Array, Options, check_density, check_inputs, check_not_negative


def ties(base: Array, branches: Sequence[Array], coefficients: Sequence[float], options: Options) -> Array:
    """Merge as Yadav et al. 2023 do (arXiv 2306.01708).

    Each task vector theta_i - base is trimmed to its largest elements and scaled by lambda_i; per element the sign with the greater total
    magnitude is elected; the mean of the elements that have this sign is added to the base. With one lambda for all that is the
    paper's lambda tau_m, and with a single branch and density 1 it is task arithmetic.

    Ours: the trimming is done tensor by tensor (the paper trims the model as one vector), and where both signs weigh exactly the
    same the base stays as it is.

    Args:
        base: float64, any shape.
        branches: float64, that shape.
        coefficients: lambda_i, 0 or more; 0 leaves a branch out.
        options: density.

    Returns:
        A new float64 array of that shape.

    Raises:
        MergeError: impossible coefficients or density.
    """
    check_inputs("ties", base, branches, coefficients)
    check_density("ties", options.density, taken=True)
    check_not_negative("ties", coefficients)
    up, down = np.zeros(base.shape), np.zeros(base.shape)
    risen, fallen = np.zeros(base.shape, np.int16), np.zeros(base.shape, np.int16)
    for branch, scale in zip(branches, coefficients, strict=True):
        change = np.asarray(scale * trim(branch - base, options.density))
        risen += change > 0
        fallen += change < 0
        up += np.maximum(change, 0)
        down -= np.minimum(change, 0)
    rise, fall = up / np.maximum(risen, 1), down / np.maximum(fallen, 1)
    return np.asarray(base + np.where(up > down, rise, np.where(down > up, -fall, 0.0)))


def trim(vector: Array, density: float) -> Array:
    """Keep the elements of greatest magnitude and set the others to 0.

    Args:
        vector: any shape.
        density: share to keep; max(1, round(density * size)) elements stay. Of equal magnitudes those that are stored first stay.

    Returns:
        A float64 array of that shape; `vector` itself where all stays.
    """
    vector = np.asarray(vector)
    count = max(1, round(density * vector.size))
    if count >= vector.size:
        return vector
    flat = vector.reshape(-1)
    size = np.abs(flat)
    threshold = np.partition(size, vector.size - count)[vector.size - count]
    keep = size > threshold
    keep[np.flatnonzero(size == threshold)[: count - int(keep.sum())]] = True
    return np.where(keep, flat, 0.0).reshape(vector.shape)
