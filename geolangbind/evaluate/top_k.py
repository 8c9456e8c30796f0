"""Exact ranking of a pool by dot products, block by block: memory does not grow with the pool, and no rank depends on the blocks.

Float32 products differ in their last digits with a block's shape and place and with the library, and with them ranks and ties. A
tolerance does not help: "almost equal" is not transitive, and its border moves with the same digits. So coordinates are rounded to
multiples of 2^-26, which moves a score less than float32 arithmetic would, and multiplied in float64: products are multiples of 2^-52,
every partial sum is at most 2 (Cauchy-Schwarz), so all of them fit into 53 bits and nothing is rounded. A score is the same number in
every order, block and library.

Few pairs need that: the float32 product decides all whose score is farther from the one to beat than float32 can err.
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
_CROWD = 32
"""One exact score alone takes as long as some 32 of a block."""


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
    error = _float32_error(*vectors)
    scores = pair_scores(vectors, pairs, block_mib)
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
    for spans, block in _blocks(vectors, block_mib, torch.float32 if error else torch.float64):
        part = vectors[0][spans[0]], vectors[1][spans[1]]
        for way in range(ways):
            better, tied = _compare(part, block, best[way][spans[way]], way, error, block_mib)
            found[way].better[spans[way]] += better
            found[way].tied[spans[way]] += tied
    return found


def _compare(vectors: tuple[Tensor, Tensor], block: Tensor, own: Tensor, way: int, error: float, block_mib: float) -> tuple[Tensor, Tensor]:
    """How many of a block's scores are above and equal to each query's own.

    Args:
        vectors: of the block's rows and columns.
        block: their scores, in 2^-52.
        own: exact scores of the queries, in 2^-52.
        way: 0 if the rows are the queries, 1 if the columns are.
        error: how far the block's scores may be from the exact ones, in 2^-52; 0 for a block in float64.
        block_mib: see `ranks`.
    """
    level, along = own.unsqueeze(1 - way), 1 - way
    if error:
        above = block > (level + error).to(block.dtype)
        unsure = _where((block >= (level - error).to(block.dtype)).logical_xor_(above))
        if len(unsure) * _CROWD < block.numel():
            pairs = torch.stack([unsure // block.shape[1], unsure % block.shape[1]], dim=1)
            scores, queries = pair_scores(vectors, pairs, block_mib), pairs[:, way]
            better, tied = (
                torch.bincount(queries[chosen], minlength=len(own)) for chosen in (scores > own[queries], scores == own[queries])
            )
            return better.add_(_count(above, along)), tied
        _, block = next(_blocks(vectors, block_mib, torch.float64))
    return _count(block > level, along), _count(block == level, along)


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
    _longest(queries, candidates)
    k = min(k, len(candidates))
    scores = torch.full((len(queries), k), -torch.inf, dtype=torch.float64, device=queries.device)
    numbers = torch.zeros((len(queries), k), dtype=torch.int64, device=queries.device)
    for (rows, columns), block in _blocks((queries, candidates), block_mib, torch.float64):
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


def _blocks(vectors: tuple[Tensor, Tensor], block_mib: float, dtype: torch.dtype) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Scores, in 2^-52, of blocks of rows with blocks of columns, and where they lie; a block lasts until the next one.

    In float64 they are exact, in float32 off by `_float32_error`.
    """
    left, right = vectors
    size = _side(left.shape[1], block_mib)
    memory = torch.empty(min(size, len(left)) * min(size, len(right)), dtype=dtype, device=left.device)
    for first in range(0, len(left), size):
        rows = slice(first, min(first + size, len(left)))
        whole = _whole(left[rows]).to(dtype)
        for start in range(0, len(right), size):
            columns = slice(start, min(start + size, len(right)))
            other = _whole(right[columns]).to(dtype)
            yield (rows, columns), torch.mm(whole, other.T, out=memory[: len(whole) * len(other)].view(len(whole), len(other)))


def _side(width: int, block_mib: float) -> int:
    """Rows and columns s of a block: up to 40 bytes a score (ties of `top_k` to be sorted), and 20 a coordinate of either side."""
    half = 20 * width
    return max(1, int((math.sqrt(half**2 + 40 * block_mib * _MIB) - half) / 40))


def pair_scores(vectors: tuple[Tensor, Tensor], pairs: Tensor, block_mib: float = 64) -> Tensor:
    """Exact scores of single pairs, equal for equal vectors wherever they stand: (P,) float64, in multiples of 2^-52.

    Args:
        vectors: (Q, D) and (N, D) unit vectors.
        pairs: (P, 2) int64, numbers of a row in either.
        block_mib: see `ranks`.
    """
    size = max(1, _side(vectors[0].shape[1], block_mib) // 8)  # small, for rows whose number changes leave holes in memory
    scores = torch.empty(len(pairs), dtype=torch.float64, device=pairs.device)
    for first in range(0, len(pairs), size):
        left, right = pairs[first : first + size].unbind(1)
        scores[first : first + size] = _whole(vectors[0][left]).double().mul_(_whole(vectors[1][right])).sum(1)
    return scores


def _whole(vectors: Tensor) -> Tensor:
    """Coordinates in 2^-26, rounded to whole numbers. Doubling a float32 26 times loses nothing."""
    return (vectors * _GRID).round_()


def _float32_error(left: Tensor, right: Tensor) -> float:
    """How far scores of float32 blocks may be from the exact ones, in 2^-52; 0 if products of float32 are set to be faster than float32.

    A sum of D products in any order errs by at most D u / (1 - D u) times the product of the lengths, u = 2^-24 (Higham 2002, Accuracy
    and Stability of Numerical Algorithms, 3.1). Two more u are for coordinates given in float64, two for the border's own rounding; 1 %
    is for the denominator, and for lengths before the coordinates were rounded.
    """
    longest = _longest(left, right)
    settings = torch.backends.cuda.matmul if left.is_cuda else torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    if settings.fp32_precision not in ("none", "ieee") or torch.is_autocast_enabled(left.device.type):
        return 0.0
    return 1.01 * (left.shape[1] + 4) * 2.0**-24 * longest * _GRID**2


def _longest(*sides: Tensor) -> float:
    """Product of the greatest lengths of vectors, 1 at least.

    Raises:
        DataError: vectors are no unit vectors.
    """
    lengths = [float(torch.linalg.vector_norm(vectors, dim=1).max()) for vectors in sides if len(vectors)]
    if not all(length <= 1.4 for length in lengths):  # so written, NaN is found too
        raise DataError(
            "vectors to rank must be unit vectors, but one is longer or not finite; normalise them, or look for NaN in the model"
        )
    return math.prod(max(1.0, length) for length in lengths)


def _count(mask: Tensor, dim: int) -> Tensor:
    """Number of true values along a dimension, int32: as such torch sums a hundred times as fast as to int64."""
    return mask.view(torch.uint8).sum(dim, dtype=torch.int32)


def _where(mask: Tensor) -> Tensor:
    """Numbers of the true values of a flattened mask. On the CPU NumPy is four times as fast as torch."""
    return mask.flatten().nonzero().squeeze(1) if mask.is_cuda else torch.from_numpy(np.flatnonzero(mask.numpy()))
