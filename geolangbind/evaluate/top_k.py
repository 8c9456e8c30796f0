"""Exact ranking of a pool by dot products, block by block: memory does not grow with the pool, and no rank depends on the blocks.

Float32 products differ in their last digits with a block's shape and place and with the library, and with them ranks and ties. A
tolerance does not help: "almost equal" is not transitive, and its border moves with the same digits. So coordinates are rounded to
multiples of 2^-26, which moves a score less than float32 arithmetic would, and multiplied in float64: products are multiples of 2^-52,
every partial sum is at most 2 (Cauchy-Schwarz), so all of them fit into 53 bits and nothing is rounded. A score is the same number in
every order, block and library.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from geolangbind.errors import DataError

_GRID = 2.0**26
_MIB = 2**20


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where the best of each query's true candidates stands.

    Attributes:
        better: (Q,) int64, how many candidates score higher; none of them is true.
        tied: (Q,) int64, how many have exactly its score, itself included.
        true: (Q,) int64, how many of those are true.
        relevant: (Q,) int64, how many candidates of the whole pool are true.
        pool: number of candidates.
    """

    better: Tensor
    tied: Tensor
    true: Tensor
    relevant: Tensor
    pool: int

    def of(self, queries: Tensor) -> Ranks:
        """Ranks of some queries, by number; a query may come twice."""
        return Ranks(self.better[queries], self.tied[queries], self.true[queries], self.relevant[queries], self.pool)

    def blind(self) -> Ranks:
        """What a scorer gets that gives all candidates the same score: chance."""
        return Ranks(torch.zeros_like(self.better), torch.full_like(self.tied, self.pool), self.relevant, self.relevant, self.pool)

    def hits(self, k: int) -> Tensor:
        """(Q,) float64, the chance that a true candidate is among the first k, equal scores being in random order; see `hit_chance`."""
        return hit_chance(self.better, self.tied, self.true, k)

    def positions(self) -> Tensor:
        """(Q,) float64, the expected rank of the first true candidate, from 1.

        The m true ones divide the other t - m of their tie into m + 1 gaps of equal expected size: b + (t - m) / (m + 1) + 1.
        """
        return self.better + (self.tied + 1).double() / (self.true + 1)


def hit_chance(better: Tensor, tied: Tensor, true: Tensor, k: int) -> Tensor:
    """The chance that one of m true candidates, in a random order of t tied ones behind b better ones, is among the first k.

    j = min(k - b, t) tied ones are among the first k, and all sets of j are equally likely; C(t - m, j) of the C(t, j) hold no true one:
    1 - C(t - m, j) / C(t, j), as a product over j seats. With b = 0 and t the whole pool this is the recall of a random ranking.

    Args:
        better: b, (Q,) integers.
        tied: t, (Q,) integers, at least 1.
        true: m, (Q,) integers from 1 to t.
        k: how many candidates are looked at.

    Returns:
        (Q,) float64 in [0, 1].
    """
    missed = torch.ones(len(better), dtype=torch.float64, device=better.device)
    for seat in range(min(k, int(tied.max()))):
        filled = (better + seat < k) & (seat < tied)
        missed = torch.where(filled, missed * (tied - true - seat).clamp(min=0) / (tied - seat).clamp(min=1), missed)
    return 1 - missed


def ranks(queries: Tensor, candidates: Tensor, pairs: Tensor, block_mib: float = 64) -> Ranks:
    """Rank each query's true candidates in the whole pool. Work happens on the device of the vectors.

    Args:
        queries: (Q, D) unit vectors.
        candidates: (N, D) unit vectors.
        pairs: (P, 2) int64, numbers of a query and of a candidate that is true for it, each pair once.
        block_mib: memory beside vectors, pairs and results, in MiB, whatever Q and N.

    Raises:
        DataError: a query has no true candidate, or vectors are no unit vectors.
    """
    return _ranks((queries, candidates), pairs, block_mib, 1)[0]


def ranks_both_ways(left: Tensor, right: Tensor, pairs: Tensor, block_mib: float = 64) -> tuple[Ranks, Ranks]:
    """`ranks` of left among right and of right among left from the same products; every row of either needs a pair."""
    there, back = _ranks((left, right), pairs, block_mib, 2)
    return there, back


def _ranks(vectors: tuple[Tensor, Tensor], pairs: Tensor, block_mib: float, ways: int) -> list[Ranks]:
    _require_unit(*vectors)
    scores = _pair_scores(vectors, pairs, block_mib)
    best: list[Tensor] = []
    found: list[Ranks] = []
    for way in range(ways):
        side, other, own = vectors[way], vectors[1 - way], pairs[:, way]
        top = scores.new_full((len(side),), -torch.inf).scatter_reduce(0, own, scores, "amax")
        if len(lacking := (top == -torch.inf).nonzero()):
            raise DataError(
                f"query {int(lacking[0])} has no true candidate ({len(lacking)} of {len(side)} have none); leave such queries out"
            )
        best.append(top)
        true = torch.bincount(own[scores == top[own]], minlength=len(side))
        relevant = torch.bincount(own, minlength=len(side))
        found.append(Ranks(torch.zeros_like(true), torch.zeros_like(true), true, relevant, len(other)))
    for spans, block in _blocks(vectors, block_mib):
        for way in range(ways):
            own = best[way][spans[way]].unsqueeze(1 - way)
            found[way].better[spans[way]] += _count(block > own, 1 - way)
            found[way].tied[spans[way]] += _count(block == own, 1 - way)
    return found


def top_k(queries: Tensor, candidates: Tensor, k: int, block_mib: float = 64) -> tuple[Tensor, Tensor]:
    """The best candidates of each query; of equal ones the first.

    Args:
        queries: (Q, D) unit vectors.
        candidates: (N, D) unit vectors.
        k: how many; the whole pool if it is smaller.
        block_mib: see `ranks`; beside it, results and a block's candidates take memory in proportion to k.

    Returns:
        Scores (Q, k) float64, descending, and numbers of the candidates (Q, k) int64.

    Raises:
        DataError: vectors are no unit vectors.
    """
    _require_unit(queries, candidates)
    k = min(k, len(candidates))
    scores = torch.full((len(queries), k), -torch.inf, dtype=torch.float64, device=queries.device)
    numbers = torch.zeros((len(queries), k), dtype=torch.int64, device=queries.device)
    for (rows, columns), block in _blocks((queries, candidates), block_mib):
        pool = torch.cat([scores[rows], block], dim=1)
        chosen = _first_of_best(pool, k)
        earlier = numbers[rows].gather(1, chosen.clamp(max=k - 1))
        numbers[rows] = torch.where(chosen < k, earlier, chosen - k + columns.start)
        scores[rows] = pool.gather(1, chosen)
    return scores / _GRID**2, numbers


def _first_of_best(pool: Tensor, k: int) -> Tensor:
    """Columns of the k highest values of each row, descending, equal ones from left to right."""
    values, chosen = pool.topk(k, dim=1)
    crowded = _count(pool >= values[:, -1:], 1) > k  # topk leaves open which of equal ones it takes
    if crowded.any():
        chosen[crowded] = pool[crowded].argsort(dim=1, descending=True, stable=True)[:, :k]
    chosen = chosen.sort(dim=1).values
    return chosen.gather(1, pool.gather(1, chosen).argsort(dim=1, descending=True, stable=True))


def _blocks(vectors: tuple[Tensor, Tensor], block_mib: float) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Exact scores, in 2^-52, of blocks of rows with blocks of columns, and where they lie; a block lasts until the next one."""
    left, right = vectors
    # a square of s x s scores with a mask, 9 bytes each, and 2 x s vectors in float64 and on the way there: 9 s^2 + 32 D s bytes
    half = 16 * left.shape[1]
    size = max(1, int((math.sqrt(half**2 + 9 * block_mib * _MIB) - half) / 9))
    memory = torch.empty(min(size, len(left)) * min(size, len(right)), dtype=torch.float64, device=left.device)
    for first in range(0, len(left), size):
        rows = slice(first, min(first + size, len(left)))
        whole = _whole(left[rows])
        for start in range(0, len(right), size):
            columns = slice(start, min(start + size, len(right)))
            other = _whole(right[columns])
            yield (rows, columns), torch.mm(whole, other.T, out=memory[: len(whole) * len(other)].view(len(whole), len(other)))


def _pair_scores(vectors: tuple[Tensor, Tensor], pairs: Tensor, block_mib: float) -> Tensor:
    """(P,) exact scores of pairs, in 2^-52."""
    size = max(1, int(block_mib * _MIB / (64 * vectors[0].shape[1])))
    parts = (pairs[first : first + size].unbind(1) for first in range(0, len(pairs), size))
    return torch.cat([_whole(vectors[0][left]).mul_(_whole(vectors[1][right])).sum(1) for left, right in parts])


def _whole(vectors: Tensor) -> Tensor:
    """Coordinates in 2^-26, rounded to whole numbers, in float64. Doubling a float32 26 times loses nothing."""
    return (vectors * _GRID).round_().double()


def _require_unit(*sides: Tensor) -> None:
    for vectors in sides:
        if not bool((torch.linalg.vector_norm(vectors, dim=1) <= 1.4).all()):  # so written, NaN is found too
            raise DataError(
                "vectors to rank must be unit vectors, but one is longer or not finite; normalise them, or look for NaN in the model"
            )


def _count(mask: Tensor, dim: int) -> Tensor:
    """Number of true values along a dimension. On the CPU torch's own takes ten times as long as NumPy's."""
    return mask.sum(dim) if mask.is_cuda else torch.from_numpy(np.count_nonzero(mask.numpy(), axis=dim))
