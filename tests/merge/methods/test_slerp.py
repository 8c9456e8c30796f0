"""SLERP: angles worked out by hand, mergekit's numbers, exact endpoints, constant length, and the fall back to lerp."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merge_weights.errors import MergeError
from merge_weights.methods.options import Options
from merge_weights.methods.slerp import PARALLEL_RAD, angle_rad, slerp


def at(angle: float, length: float = 1) -> np.ndarray:
    return length * np.array([math.cos(angle), math.sin(angle)])


def test_by_hand() -> None:
    # a third of the way along a right angle is 30 degrees
    merged = slerp(np.array([1.0, 0.0]), [np.array([0.0, 1.0])], [1 / 3], Options())
    np.testing.assert_allclose(merged, [math.sqrt(3) / 2, 0.5], rtol=0, atol=1e-15)
    # half of 60 degrees between vectors of lengths 1 and 3: the weights are both sin 30 / sin 60 = 1 / sqrt 3
    merged = slerp(at(0), [at(math.pi / 3, 3)], [0.5], Options())
    np.testing.assert_allclose(merged, (at(0) + at(math.pi / 3, 3)) / math.sqrt(3), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("t", "name"), [(0.3, "slerp_03"), (0.5, "slerp_05")])
def test_mergekit(golden, t: float, name: str) -> None:
    """The formulas agree; mergekit goes over to lerp at a cosine of 0.9995 (1.8 degrees), ours only at 1e-6 rad."""
    np.testing.assert_allclose(slerp(golden["base"], [golden["branches"][0]], [t], Options()), golden[name], rtol=0, atol=1e-6)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_unit_vectors_keep_their_length_and_turn_evenly(seed: int, t: float) -> None:
    base, branch = (vector / np.linalg.norm(vector) for vector in np.random.default_rng(seed).normal(size=(2, 6)))
    merged = slerp(base, [branch], [t], Options())
    assert np.linalg.norm(merged) == pytest.approx(1, abs=1e-14)
    assert angle_rad(base, merged) == pytest.approx(t * angle_rad(base, branch), abs=1e-14)
    np.testing.assert_allclose(slerp(branch, [base], [1 - t], Options()), merged, rtol=0, atol=1e-13)  # from the other end


@pytest.mark.parametrize("angle", [0, 1e-9, 1, math.pi])
def test_endpoints_are_bit_identical_and_new(angle: float) -> None:
    base, branch = at(0.1), at(0.1 + angle, 1.7)
    for t, end in ((0, base), (1, branch)):
        merged = slerp(base, [branch], [t], Options())
        assert merged.tobytes() == end.tobytes() and not np.shares_memory(merged, end)


@pytest.mark.parametrize("angle", [0.0, 0.9 * PARALLEL_RAD, math.pi, math.pi - 0.9 * PARALLEL_RAD])
def test_lerp_near_parallel_and_opposite_vectors(angle: float) -> None:
    base, branch = at(0), at(angle, 2)
    np.testing.assert_array_equal(slerp(base, [branch], [0.25], Options()), 0.75 * base + 0.25 * branch)


def test_no_step_where_lerp_takes_over() -> None:
    inside, outside = (slerp(at(0), [at(angle)], [0.3], Options()) for angle in (0.999 * PARALLEL_RAD, 1.001 * PARALLEL_RAD))
    # the vectors themselves differ by 0.3 * 0.002e-6 there
    np.testing.assert_allclose(inside, outside, rtol=0, atol=1e-9)
    assert np.linalg.norm(outside) == pytest.approx(1, abs=1e-15)


def test_zero_vectors_and_single_numbers_are_lerped() -> None:
    zero, branch = np.zeros(2), np.array([4.0, 8.0])
    assert slerp(zero, [branch], [0.25], Options()).tolist() == [1, 2]
    assert slerp(branch, [zero], [0.25], Options()).tolist() == [3, 6]
    assert slerp(zero, [zero], [0.25], Options()).tolist() == [0, 0]
    scalar = slerp(np.array(2.0), [np.array(4.0)], [0.5], Options())
    assert isinstance(scalar, np.ndarray) and (scalar.shape, float(scalar)) == ((), 3)
    assert slerp(np.zeros((0, 3)), [np.zeros((0, 3))], [0.5], Options()).shape == (0, 3)


@pytest.mark.parametrize("scale", [1e-200, 1, 1e200])
def test_angles_of_tiny_and_huge_numbers(scale: float) -> None:
    assert angle_rad(at(0, scale), at(2, scale)) == pytest.approx(2, rel=1e-14)
    assert angle_rad(at(0), at(1e-9)) == pytest.approx(1e-9, rel=1e-6)  # an arc cosine gives 0


def test_the_tensor_is_one_vector() -> None:
    base, branch = np.random.default_rng(1).normal(size=(2, 3, 4))
    flat = slerp(base.reshape(-1), [branch.reshape(-1)], [0.4], Options())
    np.testing.assert_array_equal(slerp(base, [branch], [0.4], Options()), flat.reshape(3, 4))


def test_equal_branches_stay() -> None:
    base = np.array([0.1, -0.7, 3.3])
    np.testing.assert_allclose(slerp(base, [base.copy()], [0.3], Options()), base, rtol=1e-15)


def test_refusals() -> None:
    zero = np.zeros(2)
    with pytest.raises(MergeError, match="one branch, not 2; merge the others in another run, or use linear"):
        slerp(zero, [zero, zero], [0.5, 0.5], Options())
    for t in (-0.1, 1.1):
        with pytest.raises(MergeError, match="between 0"):
            slerp(zero, [zero], [t], Options())
    with pytest.raises(MergeError, match="slerp takes no density"):
        slerp(zero, [zero], [0.5], Options(density=0.5))
