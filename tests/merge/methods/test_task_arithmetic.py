"""Task arithmetic: hand-worked sums, mergekit's numbers, and how it relates to the chain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merge_weights.arithmetic import merge_tensor
from merge_weights.errors import MergeError
from merge_weights.methods.options import Options
from merge_weights.methods.task_arithmetic import task_arithmetic


def test_by_hand() -> None:
    # task vectors (2, -2) and (0, 4): 1 + 0.5 * 2 + 2 * 0 = 2 and 2 + 0.5 * -2 + 2 * 4 = 9
    merged = task_arithmetic(np.array([1.0, 2.0]), [np.array([3.0, 0.0]), np.array([1.0, 6.0])], [0.5, 2], Options())
    assert merged.tolist() == [2, 9]


def test_a_negative_coefficient_takes_away() -> None:
    assert task_arithmetic(np.array([1.0]), [np.array([4.0])], [-1], Options()).tolist() == [-2]


def test_mergekit(golden) -> None:
    merged = task_arithmetic(golden["base"], list(golden["branches"]), [0.3, 0.7, -0.4], Options())
    np.testing.assert_allclose(merged, golden["task_arithmetic_03_07_m04"], rtol=0, atol=1e-6)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_the_chain_is_task_arithmetic_with_its_shares(seed: int, m1: float, m2: float) -> None:
    base, rgb, others = np.random.default_rng(seed).normal(size=(3, 11))
    chain = merge_tensor(base, [rgb, others], [m1, m2])
    np.testing.assert_allclose(task_arithmetic(base, [rgb, others], [m1 * (1 - m2), m2], Options()), chain, rtol=0, atol=1e-14)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-4, 4))
def test_the_change_scales_with_the_coefficients_whatever_the_order(seed: int, scale: float) -> None:
    base, a, b = np.random.default_rng(seed).normal(size=(3, 11))
    once = task_arithmetic(base, [a, b], [0.3, 0.6], Options()) - base
    scaled = task_arithmetic(base, [b, a], [scale * 0.6, scale * 0.3], Options()) - base
    np.testing.assert_allclose(scaled, scale * once, rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 1, 3)])
def test_branches_equal_to_the_base_change_nothing(shape: tuple[int, ...]) -> None:
    base = np.full(shape, 0.1)
    merged = task_arithmetic(base, [base.copy(), base.copy()], [0.3, 1.7], Options())
    assert isinstance(merged, np.ndarray) and merged.shape == shape
    assert merged.tobytes() == base.tobytes() and not np.shares_memory(merged, base)


def test_refusals() -> None:
    zero = np.zeros(2)
    with pytest.raises(MergeError, match="at least one branch"):
        task_arithmetic(zero, [], [], Options())
    with pytest.raises(MergeError, match=r"branch 2 has shape \[3\], not \[2\]"):
        task_arithmetic(zero, [zero, np.zeros(3)], [1, 1], Options())
    with pytest.raises(MergeError, match="use ties or dare"):
        task_arithmetic(zero, [zero], [1], Options(density=0.2))
    with pytest.raises(MergeError, match="branch 1 is inf"):
        task_arithmetic(zero, [zero], [float("inf")], Options())
