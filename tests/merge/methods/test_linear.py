"""Linear: hand-worked means, torch.lerp, mergekit's numbers, and what averaging must keep."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merge_weights.errors import MergeError
from merge_weights.methods.linear import linear
from merge_weights.methods.options import Options

NOTHING = np.zeros(2)
weights = st.lists(st.floats(0.01, 10), min_size=2, max_size=5)


def test_by_hand() -> None:
    # (1 * 1 + 3 * 5) / 4 = 4 and (1 * 2 + 3 * -2) / 4 = -1; the base does not matter
    merged = linear(np.array([100.0, 100.0]), [np.array([1.0, 2.0]), np.array([5.0, -2.0])], [1, 3], Options())
    assert merged.tolist() == [4, -1]


def test_mergekit(golden) -> None:
    merged = linear(golden["base"], list(golden["branches"]), [1, 2, 5], Options())
    np.testing.assert_allclose(merged, golden["linear_1_2_5"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("t", [0.0, 0.25, 1 / 3, 0.9, 1.0])
def test_two_models_are_lerp(t: float) -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 7, 5))
    reference = torch.lerp(torch.from_numpy(a), torch.from_numpy(b), t).numpy()
    np.testing.assert_allclose(linear(a, [a, b], [1 - t, t], Options()), reference, rtol=0, atol=1e-15)


@settings(deadline=None)
@given(weights, st.integers(0, 2**32 - 1))
def test_agrees_with_numpy_and_ignores_order_and_scale(values: list[float], seed: int) -> None:
    branches = list(np.random.default_rng(seed).normal(size=(len(values), 3, 4)))
    merged = linear(branches[0], branches, values, Options())
    np.testing.assert_allclose(merged, np.average(branches, axis=0, weights=values), rtol=0, atol=1e-14)
    order = np.random.default_rng(seed).permutation(len(values))
    swapped = linear(branches[0], [branches[i] for i in order], [7 * values[i] for i in order], Options())
    np.testing.assert_allclose(swapped, merged, rtol=0, atol=1e-14)


@settings(deadline=None)
@given(weights)
def test_equal_branches_come_out_bit_for_bit(values: list[float]) -> None:
    branch = np.array([0.1, -0.0, 1e300, 5e-324])
    assert linear(branch, [branch.copy() for _ in values], values, Options()).tobytes() == branch.tobytes()


def test_all_the_weight_on_one_branch_gives_it_bit_for_bit_and_anew() -> None:
    branches = [np.array([1.0, 2.0]), np.array([0.1, -0.0]), np.array([3.0, 4.0])]
    merged = linear(NOTHING, branches, [0, 0.3, 0], Options())
    assert merged.tobytes() == branches[1].tobytes() and not np.shares_memory(merged, branches[1])


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 1, 3)])
def test_shape_and_inputs_stay(shape: tuple[int, ...]) -> None:
    branches = [np.ones(shape), np.full(shape, 3.0)]
    merged = linear(np.zeros(shape), branches, [1, 1], Options())
    assert isinstance(merged, np.ndarray) and merged.shape == shape and (merged == 2).all()
    assert (branches[0] == 1).all() and (branches[1] == 3).all()


@pytest.mark.parametrize(
    ("coefficients", "options", "message"),
    [
        ([0, 0], Options(), "all coefficients are 0"),
        ([1, -1], Options(), "use task_arithmetic"),
        ([1, float("nan")], Options(), "branch 2 is nan"),
        ([1], Options(), "2 branches but 1 coefficients"),
        ([1, 1], Options(density=0.5), "linear takes no density"),
    ],
)
def test_refusals(coefficients: list[float], options: Options, message: str) -> None:
    with pytest.raises(MergeError, match=message):
        linear(NOTHING, [NOTHING, NOTHING], coefficients, options)
