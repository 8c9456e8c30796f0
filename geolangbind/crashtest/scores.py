"""From vectors to scores: is a place nearer to itself than to other places, and how far does it move? Bootstrap over places.

P places, R bootstrap replicates. Every score is an array (1 + R,): the value on all places, then one value per replicate, so that means
of several scores are taken replicate by replicate. A replicate draws P places with replacement (Efron 1979); pairs of the same place are
never taken for two places.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

Numbers = NDArray[np.float64]

REPLICATES = 400
_ROUNDING = 1e-6
"""Cosines, distances and shares of them that differ by less differ by float32's rounding."""


def place_weights(places: int, seed: int = 0, replicates: int = REPLICATES) -> Numbers:
    """How often each place counts: (1 + R, P), all once in the first row, as drawn in the others."""
    drawn = np.random.default_rng(seed).multinomial(places, np.full(places, 1 / places), size=replicates)
    return np.concatenate([np.ones((1, places)), drawn]).astype(np.float64)


def same_place_auc(queries: Tensor, candidates: Tensor, weights: Numbers) -> Numbers:
    """How often a place is more similar to itself than to another place.

    The area under the ROC curve of same-place against other-place similarity, taken per query; ties count half.

    Args:
        queries: (P, D) unit vectors of the places seen one way.
        candidates: (P, D) of the same places seen another way.
        weights: (1 + R, P), see `place_weights`.

    Returns:
        (1 + R,) in [0, 1]; 0.5 where nothing is told apart.
    """
    similarity = _similarity(queries, candidates)
    lead = np.diag(similarity)[:, None] - similarity
    won = np.where(np.abs(lead) <= _ROUNDING, 0.5, (lead > 0).astype(np.float64))
    return _mean_of_pairs(won, weights)


def margin(queries: Tensor, candidates: Tensor, weights: Numbers) -> Numbers:
    """Mean cosine similarity of the same place less that of other places, (1 + R,); arguments as `same_place_auc`."""
    similarity = _similarity(queries, candidates)
    return _mean(np.diag(similarity), weights) - _mean_of_pairs(similarity, weights)


def drift(before: Tensor, after: Tensor, weights: Numbers) -> Numbers:
    """How far a change of the image moves a vector, as a share of the mean distance between two places.

    Args:
        before: (P, D) unit vectors of the images as they are.
        after: (P, D) of the changed images.
        weights: (1 + R, P).

    Returns:
        (1 + R,): 0 where nothing moves, 1 where a place moves as far as another one lies, also where all places are one.
    """
    first, second = _numbers(before), _numbers(after)
    moved = np.linalg.norm(first - second, axis=1)
    apart = cdist(first, first)  # exactly 0 between equal vectors, which a matrix product is not
    return quotient(_mean(moved, weights), _mean_of_pairs(apart, weights), otherwise=1.0)


def quotient(numerator: Numbers, denominator: Numbers, otherwise: float) -> Numbers:
    """`numerator` / `denominator`, and `otherwise` where the denominator is nothing but rounding."""
    told = np.abs(denominator) > _ROUNDING
    return np.where(np.isnan(denominator), np.nan, np.where(told, numerator / np.where(told, denominator, 1.0), otherwise))


def interval(score: Numbers) -> tuple[float, float, float]:
    """Value and both ends of the 95 % percentile interval; the ends enclose the value."""
    low, high = np.nanquantile(score[1:], (0.025, 0.975)) if np.isfinite(score[1:]).any() else (score[0], score[0])
    return float(score[0]), float(min(low, score[0])), float(max(high, score[0]))


def _numbers(vectors: Tensor) -> Numbers:
    return np.asarray(vectors.double().numpy())


def _similarity(queries: Tensor, candidates: Tensor) -> Numbers:
    return np.asarray(_numbers(queries) @ _numbers(candidates).T)


def _mean(values: Numbers, weights: Numbers) -> Numbers:
    return np.asarray(weights @ values / weights.sum(axis=1))


def _mean_of_pairs(values: Numbers, weights: Numbers) -> Numbers:
    """Mean of (P, P) values over pairs of two places; not a number for a replicate that holds one place only."""
    values = values - np.diag(np.diag(values))
    pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
    total = np.einsum("rp,pq,rq->r", weights, values, weights, optimize=True)
    return np.where(pairs > 0, total / np.maximum(pairs, 1), np.nan)
