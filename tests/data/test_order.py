from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geolangbind.data.order import MixtureOrder
from geolangbind.errors import SettingsError


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**7), st.integers(0, 2**63), st.sampled_from([1, 2, 3, 4, 6, 12]))
def test_union_over_ranks_does_not_depend_on_world_size(step, seed, world_size):
    order = MixtureOrder([50, 7, 130], [1, 2, 3], batch_size=12, seed=seed)
    stream, alone = order.batch(step)
    parts = [order.batch(step, rank, world_size) for rank in range(world_size)]
    assert {part[0] for part in parts} == {stream}
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), alone)
    assert {len(part[1]) for part in parts} == {12 // world_size}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(1, 24), st.integers(0, 1000))
def test_every_pass_holds_each_sample_exactly_once(sizes, batch_size, seed):
    order = MixtureOrder(sizes, [1] * len(sizes), batch_size, seed)
    rows: dict[int, list[int]] = {stream: [] for stream in range(len(sizes))}
    for step in range(len(sizes) * 60 // min(batch_size, 60) * 2 + len(sizes)):
        stream, samples = order.batch(step)
        rows[stream].extend(samples.tolist())
    for stream, size in enumerate(sizes):
        row = rows[stream]
        for first in range(0, len(row) - size + 1, size):
            assert sorted(row[first : first + size]) == list(range(size))


def test_passes_are_shuffled_differently_and_by_seed():
    order = MixtureOrder([1000], [1.0], 1000, seed=3)
    first, second = order.batch(0)[1], order.batch(1)[1]
    other = MixtureOrder([1000], [1.0], 1000, seed=4).batch(0)[1]
    # two random permutations of n agree in one place on average; ten or more has probability 1e-7
    assert max(np.sum(first == second), np.sum(first == other), np.sum(first == np.arange(1000))) < 10


def test_streams_are_shuffled_independently():
    order = MixtureOrder([1000, 1000], [1, 1], 1000, seed=0)
    (a, first), (b, second) = order.batch(0), order.batch(1)
    assert {a, b} == {0, 1}
    assert np.sum(first == second) < 10


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.05, 1), min_size=1, max_size=6), st.integers(1, 40))
def test_mixture_weights_hold_to_within_one_turn_after_each_block(weights, blocks):
    order = MixtureOrder([10] * len(weights), weights, 2, seed=1)
    share = np.array(weights) / np.sum(weights)
    block = max(int(np.ceil(1 / share.min())), len(weights))
    steps = blocks * block
    counted = Counter(order.batch(step)[0] for step in range(steps))
    turns = order.turns_before(steps)
    assert [counted[stream] for stream in range(len(weights))] == list(turns)
    assert sum(turns) == steps
    assert np.all(np.abs(np.array(turns) - share * steps) < 1 + 1e-6)


def test_mixture_is_exact_after_a_billion_steps():
    order = MixtureOrder([10, 10, 10], [0.5, 0.3, 0.2], 2, seed=1)
    np.testing.assert_allclose(order.turns_before(10**9), [5e8, 3e8, 2e8], atol=6)


def test_weight_zero_leaves_a_stream_out_even_an_empty_one():
    order = MixtureOrder([5, 0, 5], [1, 0, 1], 2, seed=0)
    assert {order.batch(step)[0] for step in range(50)} == {0, 2}


def test_resuming_gives_the_same_batches_whatever_was_asked_before():
    steps = [10**6, 3, 10**6 + 1, 0, 3]
    order = MixtureOrder([400, 30], [0.7, 0.3], 16, seed=9)
    for step in steps:
        fresh = MixtureOrder([400, 30], [0.7, 0.3], 16, seed=9)
        assert order.batch(step)[0] == fresh.batch(step)[0]
        np.testing.assert_array_equal(order.batch(step)[1], fresh.batch(step)[1])


def test_the_order_is_a_fixed_one():
    """Sorted raw Philox words: these numbers may never change, or old runs would resume on other data."""
    order = MixtureOrder([8, 5], [2, 1], 4, seed=2024)
    rows = [(stream, samples.tolist()) for stream, samples in map(order.batch, range(3))]
    words = np.random.Philox(np.random.SeedSequence([2024, 0, 0, 0])).random_raw(8)
    zero = [samples for stream, samples in rows if stream == 0]
    assert zero[0] + zero[1] == np.argsort(words).tolist()
    assert sorted(stream for stream, _ in rows) == [0, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1, 2], [1.0], 4, 0), "one weight per stream"),
        (([], [], 4, 0), "at least one"),
        (([5], [-1.0], 4, 0), "at least 0"),
        (([5], [float("nan")], 4, 0), "finite"),
        (([5, 5], [0.0, 0.0], 4, 0), "not all 0"),
        (([5, 5], [1.0, 1e-6], 4, 0), "finest share"),
        (([5, 0], [1.0, 1.0], 4, 0), "without samples"),
        (([5], [1.0], 0, 0), "batch_size"),
        (([5], [1.0], 4, -1), "seed"),
    ],
)
def test_impossible_settings_are_refused(arguments, words):
    with pytest.raises(SettingsError, match=words):
        MixtureOrder(*arguments)


def test_impossible_ranks_and_steps_are_refused():
    order = MixtureOrder([5], [1.0], 4, 0)
    with pytest.raises(SettingsError, match="does not divide by 3 ranks"):
        order.batch(0, 0, 3)
    for arguments in ((-1, 0, 1), (0, 2, 2), (0, -1, 2)):
        with pytest.raises(SettingsError, match="no batch for step"):
            order.batch(*arguments)
