"""Accuracy and interval against published values and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from geolangbind.evaluate.metrics import top1, wilson_interval


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        # Newcombe 1998 (Stat Med 17:857), table I, method 3: Wilson's score interval without continuity correction
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (8, 10, 0.4902, 0.9433),
    ],
)
def test_wilson_interval_of_published_examples(right, count, low, high):
    assert wilson_interval(right / count, count) == pytest.approx((low, high), abs=6e-5)


def test_wilson_interval_solves_its_equation():
    """Its ends are the shares p for which the observed share lies 1.96 standard errors of p away."""
    for end in wilson_interval(0.7, 50):
        assert abs(0.7 - end) / (end * (1 - end) / 50) ** 0.5 == pytest.approx(1.959964, rel=1e-5)


def test_wilson_interval_of_nothing_is_everything():
    assert wilson_interval(0.0, 0) == (0.0, 1.0)


@given(st.integers(1, 500), st.floats(0, 1))
def test_wilson_interval_holds_the_share_and_stays_inside(count, share):
    low, high = wilson_interval(share, count)
    assert 0 <= low <= share <= high <= 1
    assert wilson_interval(1 - share, count) == pytest.approx((1 - high, 1 - low))


def test_top1_against_scikit_learn():
    rng = np.random.default_rng(0)
    scores, truth = rng.normal(size=(200, 7)), rng.integers(0, 7, 200)
    assert top1(scores, truth) == pytest.approx(accuracy_score(truth, scores.argmax(1)))


def test_ties_count_in_expectation():
    assert top1(np.zeros((24, 24)), np.arange(24)) == pytest.approx(1 / 24)
    # two at the top, one of them right; the right one alone; the right one below
    scores = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 1.0, 2.0]])
    assert top1(scores, np.array([0, 1, 1])) == pytest.approx((0.5 + 1 + 0) / 3)


@given(st.integers(2, 6), st.integers(0, 99))
def test_top1_does_not_depend_on_the_order_of_classes(classes, seed):
    rng = np.random.default_rng(seed)
    scores, truth = rng.integers(0, 3, (20, classes)), rng.integers(0, classes, 20)
    order = rng.permutation(classes)
    assert top1(scores[:, order], np.argsort(order)[truth]) == pytest.approx(top1(scores, truth))
