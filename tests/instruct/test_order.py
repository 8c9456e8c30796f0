"""Blocks of one source each, the same for any number of processes; nested subsets."""

from itertools import chain, pairwise

import numpy as np
import pytest

from geolangbind.errors import SettingsError
from geolangbind.instruct.order import BlockOrder, in_fraction


def rows_of(order, step, world):
    return [
        [(taken.block, taken.source, int(row)) for taken in order.batch(step, rank, world) for row in taken.rows] for rank in range(world)
    ]


@pytest.mark.parametrize(("batch", "block", "world"), [(24, 8, 2), (24, 8, 4), (24, 4, 3), (24, 24, 2), (24, 3, 24)])
def test_ranks_share_what_one_process_takes(batch, block, world):
    order = BlockOrder([50, 20, 7], [50, 20, 7], batch, block, 3)
    for step in range(5):
        (alone,) = rows_of(order, step, 1)
        parts = rows_of(order, step, world)
        assert list(chain.from_iterable(parts)) == alone and {len(part) for part in parts} == {batch // world}
        assert [row[0] for row in alone] == [number // block for number in range(batch)]


def test_blocks_are_pure_and_sources_come_by_their_weights():
    order = BlockOrder([40, 40], [3, 1], 16, 4, 0)
    blocks = [taken for step in range(40) for taken in order.batch(step)]
    assert all(len(taken.rows) == 4 for taken in blocks) and len(blocks) == 160
    assert sum(taken.source == 0 for taken in blocks) == 120  # three quarters
    first = np.concatenate([taken.rows for taken in blocks if taken.source == 0][:10])
    assert sorted(first) == list(range(40))  # a whole pass before anything comes again


def test_steps_and_seeds_differ():
    order, other = (BlockOrder([40, 40], [1, 1], 16, 4, seed) for seed in (0, 1))
    assert rows_of(order, 0, 1) != rows_of(order, 1, 1) and rows_of(order, 0, 1) != rows_of(other, 0, 1)
    assert rows_of(order, 7, 1) == rows_of(BlockOrder([40, 40], [1, 1], 16, 4, 0), 7, 1)


def test_what_cannot_be_shared_out_is_refused():
    with pytest.raises(SettingsError, match="batch_size 16 is not made of blocks of 5"):
        BlockOrder([40], [1], 16, 5, 0)
    with pytest.raises(SettingsError, match="rank 0 of 3; ranks take equal shares"):
        BlockOrder([40], [1], 16, 4, 0).batch(0, 0, 3)


def test_smaller_fractions_lie_in_larger_ones():
    names = [f"row-{number}" for number in range(4000)]
    kept = [{name for name in names if in_fraction(name, share)} for share in (0.01, 0.04, 0.16, 0.64, 1.0)]
    assert all(small < large for small, large in pairwise(kept)) and len(kept[-1]) == 4000
    assert [len(some) for some in kept[:4]] == pytest.approx([40, 160, 640, 2560], rel=0.3)


def test_rows_of_one_image_stay_side_by_side_and_all_come_once():
    order = BlockOrder([12, 7, 5], [12, 8, 5], 2, 1, 5, together=[4, 4, 1])
    blocks = [(taken.source, taken.rows.tolist()) for step in range(25) for taken in order.batch(step)]
    assert {tuple(rows) for source, rows in blocks if source == 0} == {(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)}
    assert {tuple(rows) for source, rows in blocks if source == 1} == {(0, 1, 2, 3), (4, 5, 6, 0)}  # filled up with the first
    assert {tuple(rows) for source, rows in blocks if source == 2} == {(0,), (1,), (2,), (3,), (4,)}
    with pytest.raises(SettingsError, match=r"rows taken together are \[3\]; give a number of at least 1 for each of 2 sources"):
        BlockOrder([12, 7], [1, 1], 8, 4, 0, together=[3])


def test_ranks_share_a_block_of_draws_and_no_blocks_of_different_sizes():
    order = BlockOrder([40, 30], [1, 1], 4, 4, 5, together=[5, 1])
    for step in range(8):
        (whole,) = order.batch(step)
        parts = [taken for rank in range(2) for taken in order.batch(step, rank, 2)]
        assert np.concatenate([part.rows for part in parts]).tolist() == whole.rows.tolist() and len(whole.rows) in (4, 20)
        assert len(parts[0].rows) == len(parts[1].rows)
    with pytest.raises(SettingsError, match="use block=0"):
        BlockOrder([40, 30], [1, 1], 4, 2, 5, together=[5, 1]).batch(0, 0, 2)
