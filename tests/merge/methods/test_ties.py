"""TIES: trimming, election and mean worked out by hand, mergekit's numbers, and the cases in which it is another method."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merge_weights.errors import MergeError
from merge_weights.methods.options import Options
from merge_weights.methods.task_arithmetic import task_arithmetic
from merge_weights.methods.ties import ties, trim

densities = st.floats(0.05, 1)
# whole numbers and halves, so that sums are exact and ties between signs really happen
tables = st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(st.integers(-3, 3), min_size=n, max_size=n), min_size=1, max_size=8))


def test_by_hand() -> None:
    base = np.array([10.0, 10, 10, 10])
    vectors = [np.array([4.0, -1, 3, 0]), np.array([2.0, -3, -5, 1])]
    # half is kept: (4, 0, 3, 0) and (0, -3, -5, 0). Signs: +, -, - (5 against 3), none. Means of those that agree: 4, -3, -5, 0
    assert ties(base, [base + v for v in vectors], [1, 1], Options(density=0.5)).tolist() == [14, 7, 5, 10]
    # all kept: +6 / 2, -4 / 2, -5 / 1, +1 / 1
    assert ties(base, [base + v for v in vectors], [1, 1], Options()).tolist() == [13, 8, 5, 11]
    # half of that, with lambda 0.5
    assert ties(base, [base + v for v in vectors], [0.5, 0.5], Options()).tolist() == [11.5, 9, 7.5, 10.5]


def test_coefficients_count_in_the_election() -> None:
    base = np.zeros(1)
    branches = [np.array([3.0]), np.array([-5.0])]
    assert ties(base, branches, [1, 1], Options()).tolist() == [-5]
    assert ties(base, branches, [1, 0.5], Options()).tolist() == [3]  # 3 against 2.5
    assert ties(base, branches, [0, 0.5], Options()).tolist() == [-2.5]  # left out, not averaged as a zero


def test_signs_that_weigh_the_same_leave_the_base() -> None:
    """mergekit takes the positive side here, the authors' code the side that is more frequent in the whole model."""
    base = np.array([7.0, 7.0])
    assert ties(base, [np.array([9.0, 8.0]), np.array([5.0, 8.0])], [1, 1], Options()).tolist() == [7, 8]


@pytest.mark.parametrize(("density", "scale", "name"), [(0.5, 1.0, "ties_density_05"), (0.2, 0.4, "ties_density_02_lambda_04")])
def test_mergekit(golden, density: float, scale: float, name: str) -> None:
    """With one lambda for all the definitions agree; there it is a parameter apart, and equal weights cancel out."""
    merged = ties(golden["base"], list(golden["branches"]), [scale] * 3, Options(density=density))
    np.testing.assert_allclose(merged, golden[name], rtol=0, atol=1e-6)


def test_mergekit_with_different_weights(golden) -> None:
    """Theirs is the sum over the branches that agree (or that divided by their weights), ours the sum divided by their number."""
    merged = ties(golden["base"], list(golden["branches"]), [1, 0.5, 0.25], Options(density=0.5))
    ours, theirs = merged - golden["base"], golden["ties_density_05_sum_1_05_025"] - golden["base"]
    moved = np.abs(ours) > 1e-3
    np.testing.assert_array_equal(ours[~moved] == 0, np.abs(theirs[~moved]) < 1e-6)
    ratio = theirs[moved] / ours[moved]
    np.testing.assert_allclose(ratio, np.rint(ratio), atol=1e-3)
    assert set(np.rint(ratio).astype(int)) == {1, 2, 3}


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 2))
def test_one_branch_at_density_1_is_task_arithmetic(seed: int, scale: float) -> None:
    base, branch = np.random.default_rng(seed).normal(size=(2, 9))
    expected = task_arithmetic(base, [branch], [scale], Options())
    np.testing.assert_allclose(ties(base, [branch], [scale], Options()), expected, rtol=0, atol=1e-15)


@settings(deadline=None)
@given(tables, densities, st.randoms(use_true_random=False))
def test_order_of_branches_does_not_matter(columns: list[list[int]], density: float, random) -> None:
    base = np.arange(len(columns), dtype=np.float64)
    branches = list(base + np.array(columns, np.float64).T)
    coefficients = [random.choice([0.25, 0.5, 1, 2]) for _ in branches]
    order = random.sample(range(len(branches)), len(branches))
    merged = ties(base, branches, coefficients, Options(density=density))
    swapped = ties(base, [branches[i] for i in order], [coefficients[i] for i in order], Options(density=density))
    np.testing.assert_array_equal(merged, swapped)


@settings(deadline=None)
@given(tables, densities)
def test_element_by_element(columns: list[list[int]], density: float) -> None:
    """The definition in plain Python, on trimmed vectors."""
    vectors = np.array(columns, np.float64).T
    trimmed = [trim(vector, density) for vector in vectors]
    expected = []
    for column in zip(*trimmed, strict=True):
        mass = sum(column)
        agreeing = [value for value in column if value * mass > 0]
        expected.append(sum(agreeing) / len(agreeing) if agreeing else 0.0)
    np.testing.assert_allclose(ties(np.zeros(len(columns)), list(vectors), [1] * len(vectors), Options(density=density)), expected)


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), densities)
def test_trim_keeps_the_largest_and_of_equal_ones_the_first(values: list[int], density: float) -> None:
    count = max(1, round(density * len(values)))
    stay = sorted(range(len(values)), key=lambda i: (-abs(values[i]), i))[:count]
    assert trim(np.array(values, np.float64), density).tolist() == [value if i in stay else 0 for i, value in enumerate(values)]


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 1, 3)])
def test_shape_and_inputs_stay(shape: tuple[int, ...]) -> None:
    base, branch = np.zeros(shape), np.ones(shape)
    merged = ties(base, [branch, branch.copy()], [1, 1], Options())
    assert isinstance(merged, np.ndarray) and merged.shape == shape and (merged == 1).all()
    assert not base.any() and (branch == 1).all() and not np.shares_memory(merged, branch)


@pytest.mark.parametrize(
    ("coefficients", "density", "message"),
    [([1, -1], 1, "coefficient -1; give 0 or more"), ([1, 1], 0, "above 0, at most 1"), ([1, 1], 1.5, "density is 1.5")],
)
def test_refusals(coefficients: list[float], density: float, message: str) -> None:
    with pytest.raises(MergeError, match=message):
        ties(np.zeros(2), [np.zeros(2)] * 2, coefficients, Options(density=density))
