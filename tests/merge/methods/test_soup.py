"""Soups: the plain mean, and the greedy choice worked out by hand and against the recipe's own words."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merge_weights.errors import MergeError
from merge_weights.methods.options import Options
from merge_weights.methods.soup import Trial, greedy, soup

SCORES = {
    ("a",): 0.60,
    ("b",): 0.70,
    ("c",): 0.65,
    ("b", "c"): 0.69,  # worse than b alone: c is left out
    ("b", "a"): 0.70,  # as good: a stays
}


def test_by_hand() -> None:
    branches = [np.array([1.0, 0.0]), np.array([2.0, 3.0]), np.array([6.0, 3.0])]
    assert soup(np.zeros(2), branches, [1, 1, 1], Options()).tolist() == [3, 2]
    assert soup(np.zeros(2), branches, [0.5, 0.5, 0.5], Options()).tolist() == [3, 2]


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_mean_in_any_order(count: int, seed: int) -> None:
    branches = list(np.random.default_rng(seed).normal(size=(count, 3, 2)))
    merged = soup(branches[0], branches, [1] * count, Options())
    np.testing.assert_allclose(merged, np.mean(branches, axis=0), rtol=0, atol=1e-15)
    np.testing.assert_allclose(soup(branches[0], branches[::-1], [1] * count, Options()), merged, rtol=0, atol=1e-15)


@pytest.mark.parametrize("coefficients", [[1, 0.5], [0, 0], [-1, -1]])
def test_weights_are_refused(coefficients: list[float]) -> None:
    with pytest.raises(MergeError, match="or use linear for weights"):
        soup(np.zeros(2), [np.zeros(2)] * 2, coefficients, Options())
    with pytest.raises(MergeError, match="soup takes no density"):
        soup(np.zeros(2), [np.zeros(2)], [1], Options(density=0.5))


def test_greedy_by_hand() -> None:
    found = greedy(["a", "b", "c"], lambda subset: SCORES[subset])
    assert found.chosen == ("b", "a")
    assert found.trail == (Trial(("b",), 0.70, True), Trial(("b", "c"), 0.69, False), Trial(("b", "a"), 0.70, True))


def test_equal_scores_are_tried_in_the_order_given() -> None:
    assert greedy(["y", "x", "z"], lambda subset: 1.0).chosen == ("y", "x", "z")


def by_distance(values: dict[str, float]) -> Callable[[tuple[str, ...]], float]:
    """The closer the mean of a soup is to 0, the better."""
    return lambda subset: -abs(sum(values[name] for name in subset) / len(subset))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(-8, 8).map(float), min_size=1))
def test_greedy_follows_the_recipe(values: dict[str, float]) -> None:
    score, calls = by_distance(values), []

    def counted(subset: tuple[str, ...]) -> float:
        calls.append(subset)
        return score(subset)

    found = greedy(list(values), counted)
    ingredients: tuple[str, ...] = ()
    for name in sorted(values, key=lambda name: score((name,)), reverse=True):
        if not ingredients or score((*ingredients, name)) >= score(ingredients):
            ingredients = (*ingredients, name)
    assert found.chosen == ingredients and found == greedy(list(values), score)
    assert len(calls) == len(set(calls)) == 2 * len(values) - 1  # evaluations are what costs: none is repeated
    assert score(found.chosen) == max(score((name,)) for name in values) or len(found.chosen) > 1
    assert score(found.chosen) >= max(score((name,)) for name in values)  # never worse than the best branch
    assert [trial.score for trial in found.trail] == [score(trial.names) for trial in found.trail]


def test_greedy_refusals() -> None:
    for names in ([], ["a", "a"]):
        with pytest.raises(MergeError, match="branches with different names"):
            greedy(names, lambda subset: 1.0)
    with pytest.raises(MergeError, match="soup of b has the score nan"):
        greedy(["a", "b"], lambda subset: float("nan") if subset == ("b",) else 1.0)
