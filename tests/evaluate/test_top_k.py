"""Ranks against enumeration, exact integers, torchmetrics and a full matrix; nothing hangs on blocks or order."""

from fractions import Fraction
from itertools import combinations
from math import comb
from statistics import mean

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMRR

from geolangbind.errors import DataError
from geolangbind.evaluate.top_k import Ranks, _blocks, _float32_error, hit_chance, ranks, ranks_both_ways, top_k


def unit(count, seed, width=16):
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def random_pairs(queries, candidates, seed, most=4):
    rng = np.random.default_rng(seed)
    true = [rng.choice(candidates, rng.integers(1, most + 1), replace=False) for _ in range(queries)]
    return torch.tensor([(query, candidate) for query, own in enumerate(true) for candidate in own])


def one(better, tied, true, pool=99):
    return Ranks(*(torch.tensor([n]) for n in (better, tied, true, true)), pool)


def fields(found):
    return [found.better, found.tied, found.true, found.relevant]


def same(found, expected):
    return found.pool == expected.pool and all(map(torch.equal, fields(found), fields(expected)))


@pytest.mark.parametrize("better", [0, 1, 3])
@pytest.mark.parametrize("tied", [1, 2, 5])
def test_ties_by_enumeration(better, tied):
    for true in range(1, tied + 1):
        first = [better + min(seats) + 1 for seats in combinations(range(tied), true)]
        found = one(better, tied, true)
        assert float(found.positions()) == pytest.approx(mean(first), abs=1e-12)
        for k in range(1, better + tied + 3):
            assert float(found.hits(k)) == pytest.approx(mean(place <= k for place in first), abs=1e-12)


@pytest.mark.parametrize(("pool", "true", "k"), [(1000, 1, 1), (1000, 37, 100), (10**6, 5, 10), (20, 15, 10)])
def test_chance_is_the_hypergeometric_one(pool, true, k):
    blind = one(3, 2, true, pool).blind()
    assert float(blind.hits(k)) == pytest.approx(float(1 - Fraction(comb(pool - true, k), comb(pool, k))), rel=1e-9)
    assert float(blind.positions()) == pytest.approx((pool + 1) / (true + 1))


def test_many_queries_at_once_are_each_alone():
    numbers = torch.tensor([(0, 1, 1), (4, 3, 2), (0, 9, 9), (7, 50, 3)])
    together = hit_chance(*numbers.unbind(1), k=6)
    assert together.tolist() == [float(one(*row).hits(6)) for row in numbers.tolist()]


def test_against_torchmetrics():
    queries, candidates, pairs = unit(40, 0), unit(70, 1), random_pairs(40, 70, 2)
    found = ranks(queries, candidates, pairs)
    scores, relevant = (queries.double() @ candidates.double().T), torch.zeros(40, 70, dtype=torch.bool)
    relevant[tuple(pairs.T)] = True
    told = (1 + scores).flatten(), relevant.flatten(), torch.arange(40).repeat_interleave(70)
    # shifted, for torchmetrics' reciprocal rank passes over scores that are not positive
    for k in (1, 5, 10, 70):
        assert float(found.hits(k).mean()) == pytest.approx(float(RetrievalHitRate(top_k=k)(*told)), abs=1e-6)
    assert float((1 / found.positions()).mean()) == pytest.approx(float(RetrievalMRR()(*told)), abs=1e-6)
    assert torch.equal(found.relevant, relevant.sum(1))


def test_both_ways_are_each_way():
    left, right = unit(30, 0), unit(50, 1)
    pairs = torch.cat([random_pairs(30, 50, 2), torch.stack([torch.arange(50) % 30, torch.arange(50)], 1)]).unique(dim=0)
    there, back = ranks_both_ways(left, right, pairs)
    assert same(there, ranks(left, right, pairs)) and same(back, ranks(right, left, pairs.flip(1)))
    assert (there.pool, back.pool) == (50, 30)


@pytest.mark.parametrize("block_mib", [0.03, 0.3, 64])
def test_blocks_and_order_move_nothing(block_mib):
    # copies, and copies but for the last digit: where float32 products would make and break ties by the shape of a block
    candidates = unit(40, 1, 129).repeat(5, 1)
    candidates[40:80] = torch.nextafter(candidates[40:80], torch.tensor(1.0))
    queries, pairs = candidates[:60].clone(), random_pairs(60, 200, 2, 6)
    expected = ranks(queries, candidates, pairs)
    assert int(expected.tied.max()) >= 4
    generator = torch.Generator().manual_seed(3)
    rows, columns = torch.randperm(60, generator=generator), torch.randperm(200, generator=generator)
    moved = torch.stack([rows.argsort()[pairs[:, 0]], columns.argsort()[pairs[:, 1]]], 1)[torch.randperm(len(pairs), generator=generator)]
    assert same(ranks(queries[rows], candidates[columns], moved, block_mib), expected.of(rows))
    scores, numbers = top_k(queries, candidates, 7, block_mib)
    assert all(map(torch.equal, (scores, numbers), top_k(queries, candidates, 7)))


def test_scores_are_exact():
    queries, candidates = unit(5, 0, 512), unit(6, 1, 512)
    scores, numbers = top_k(queries, candidates, 6)
    whole = [[[round(x * 2**26) for x in vector] for vector in side.double().tolist()] for side in (queries, candidates)]
    for row in range(5):
        for score, number in zip(scores[row].tolist(), numbers[row].tolist(), strict=True):
            assert score == sum(a * b for a, b in zip(whole[0][row], whole[1][number], strict=True)) / 2**52
    # and the rounding is finer than that of a float32 product
    assert (scores - (queries.double() @ candidates.double().T).gather(1, numbers)).abs().max() < 2**-24


def by_integers(queries, candidates, pairs):
    """Ranks from whole numbers in 64 bits."""
    left, right = ((side.double() * 2**26).round().long() for side in (queries, candidates))
    scores, true = left @ right.T, torch.zeros(len(left), len(right), dtype=torch.bool)
    true[tuple(pairs.T)] = True
    own = scores.masked_fill(~true, -(2**60)).amax(1, keepdim=True)
    tied = scores == own
    return Ranks((scores > own).sum(1), tied.sum(1), (tied & true).sum(1), true.sum(1), len(right))


@pytest.mark.parametrize("noise", [1.0, 0.03, 3e-4, 0.0], ids=["apart", "few unsure", "most unsure", "equal"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_screening_changes_no_rank(noise, dtype):
    center = unit(1, 5, 64)
    queries, candidates = (F.normalize((center + noise * unit(count, count, 64)).to(dtype), dim=1) for count in (70, 300))
    candidates[200:] = candidates[:100]
    own = torch.stack([torch.arange(300) % 70, torch.arange(300)], 1)
    found = ranks_both_ways(queries, candidates, own, block_mib=0.2)
    expected = by_integers(queries, candidates, own), by_integers(candidates, queries, own.flip(1))
    assert all(map(same, found, expected))


@pytest.mark.parametrize("width", [3, 512, 4096])
def test_float32_errs_less_than_its_bound(width):
    for left, right in ((unit(50, 0, width), unit(60, 1, width)), (unit(60, 2, width).abs(),) * 2):
        (_, rough), (_, exact) = (next(_blocks((left, right), 64, dtype)) for dtype in (torch.float32, torch.float64))
        assert 0 < (rough - exact).abs().max() <= _float32_error(left, right)


def test_products_set_to_be_faster_than_float32_are_not_trusted():
    queries, candidates, pairs = unit(40, 0), unit(70, 1), random_pairs(40, 70, 2)
    expected = ranks(queries, candidates, pairs)
    with torch.autocast("cpu", torch.bfloat16):
        assert _float32_error(queries, candidates) == 0 and same(ranks(queries, candidates, pairs), expected)
    settings = torch.backends.mkldnn.matmul
    settings.fp32_precision = "bf16"
    try:
        assert _float32_error(queries, candidates) == 0 and same(ranks(queries, candidates, pairs), expected)
    finally:
        settings.fp32_precision = "none"


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))
def test_top_k_takes_the_first_of_equal_ones(k, pool, seed):
    # coordinates of quarters: many equal scores
    made = np.random.default_rng(seed).integers(-1, 2, (4 + pool, 4)) / 4
    queries, candidates = torch.from_numpy(made[:4]).float(), torch.from_numpy(made[4:]).float()
    scores, numbers = top_k(queries, candidates, k, block_mib=0.0005)
    full = queries @ candidates.T
    assert numbers.tolist() == [sorted(range(pool), key=lambda n: -row[n])[:k] for row in full.tolist()]
    assert torch.equal(scores, full.double().gather(1, numbers))


def test_equal_vectors_give_chance_and_an_oracle_gives_one():
    pairs = random_pairs(30, 40, 0)
    same_everywhere = ranks(unit(1, 0).expand(30, -1), unit(1, 0).expand(40, -1), pairs)
    for k in (1, 5, 40):
        assert torch.equal(same_everywhere.hits(k), same_everywhere.blind().hits(k))
    own = torch.arange(40)
    assert ranks(unit(40, 1), unit(40, 1), torch.stack([own, own], 1)).hits(1).tolist() == [1.0] * 40


class Largest(TorchDispatchMode):
    """Bytes of the largest tensor that an operation makes."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.size = max(self.size, made.numel() * made.element_size())
        return made


@pytest.mark.parametrize("noise", [1.0, 0.0], ids=["apart", "equal"])
def test_memory_does_not_grow_with_the_pool(noise):
    for pool in (500, 5_000):
        own = torch.stack([torch.arange(pool) % 200, torch.arange(pool)], 1)
        queries, candidates = (F.normalize(unit(1, 0, 32) + noise * unit(count, count, 32), dim=1) for count in (200, pool))
        with Largest() as largest:
            ranks_both_ways(queries, candidates, own, block_mib=0.5)
        assert largest.size <= 2**19 / 4  # the matrix would be 8 MB


def test_vectors_are_left_as_they_are():
    queries = unit(4, 0).double()
    kept = queries.clone()
    top_k(queries, queries, 2)
    assert torch.equal(queries, kept)


def test_what_cannot_be_ranked_is_said():
    own = torch.arange(3)
    pairs = torch.stack([own, own], 1)
    with pytest.raises(DataError, match=r"query 3 has no true candidate \(1 of 4"):
        ranks(unit(4, 0), unit(3, 1), pairs)
    for wrong in (2 * unit(3, 0), torch.full((3, 16), torch.nan)):
        with pytest.raises(DataError, match="must be unit vectors"):
            ranks(unit(3, 0), wrong, pairs)


def test_an_empty_pool_has_no_true_candidate():
    with pytest.raises(DataError, match="query 0 has no true candidate"):
        ranks(unit(4, 0), unit(0, 0), torch.empty(0, 2, dtype=torch.int64))
