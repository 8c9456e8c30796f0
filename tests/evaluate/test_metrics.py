"""Accuracy and interval against published values and scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score, top_k_accuracy_score
from torchmetrics.classification import MulticlassCalibrationError

from geolangbind.evaluate.metrics import (
    accuracy,
    calibration_error,
    confidences,
    confusion,
    hits_at,
    mean_class,
    recall_at,
    top1,
    wilson_interval,
)


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


def test_recall_counts_the_best_k_and_ties_in_expectation():
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0]])
    truth = np.array([0, 1, 2])
    assert [recall_at(scores, truth, k) for k in (1, 2, 3)] == pytest.approx([(1 + 0 + 1 / 3) / 3, (1 + 1 + 2 / 3) / 3, 1.0])
    assert recall_at(scores, truth, 1) == pytest.approx(top1(scores, truth))


@pytest.fixture
def scored():
    rng = np.random.default_rng(4)
    return rng.normal(size=(300, 7)).astype(np.float32), rng.integers(0, 6, 300)  # the seventh class never occurs


def test_metrics_without_ties_are_scikit_learns(scored):
    scores, truth = scored
    told = scores.argmax(1)
    assert recall_at(scores, truth, 5) == pytest.approx(top_k_accuracy_score(truth, scores, k=5, labels=range(7)))
    assert mean_class(hits_at(scores, truth, 1), truth) == pytest.approx(recall_score(truth, told, average="macro", labels=range(6)))
    np.testing.assert_allclose(confusion(scores, truth), confusion_matrix(truth, told, labels=range(7)))
    found = accuracy(scores, truth)
    assert (found.top1, found.n) == (pytest.approx(accuracy_score(truth, told)), 300)
    assert (found.low, found.high) == wilson_interval(found.top1, 300)


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_the_calibration_error_is_that_of_torchmetrics(scored, scale):
    scores, truth = scored
    peer = MulticlassCalibrationError(num_classes=7, n_bins=15, norm="l1")
    expected = peer((scale * torch.from_numpy(scores)).softmax(1), torch.from_numpy(truth))
    sure = confidences(scores, scale)
    np.testing.assert_allclose(sure, (scale * torch.from_numpy(scores).double()).softmax(1).amax(1), rtol=1e-6)
    assert calibration_error(sure, hits_at(scores, truth, 1)) == pytest.approx(float(expected), abs=1e-6)


def test_ties_are_spread_over_the_confusion_matrix():
    scores = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 5.0]])
    expected = [[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3], [0, 0, 1]]
    np.testing.assert_allclose(confusion(scores, np.array([0, 1, 2])), expected)
    assert mean_class(hits_at(scores, np.array([0, 1, 2]), 1), np.array([0, 1, 2])) == pytest.approx((1 / 2 + 1 / 3 + 1) / 3)


@pytest.mark.parametrize(("samples", "classes", "width"), [(200, 10, 1152), (13, 10, 96), (1001, 10, 192), (50, 45, 768)])
def test_products_of_equal_vectors_tie(samples, classes, width):
    """They differ in the last digits, by their place in the matrix."""
    vector = torch.nn.functional.normalize(torch.rand(width, generator=torch.Generator().manual_seed(0)) - 0.5, dim=0)
    scores = (vector.repeat(samples, 1) @ vector.repeat(classes, 1).T).numpy()
    truth = np.arange(samples) % classes
    assert top1(scores, truth) == pytest.approx(1 / classes) and recall_at(scores, truth, 5) == pytest.approx(5 / classes)
    np.testing.assert_allclose(confusion(scores, truth), np.bincount(truth)[:, None].repeat(classes, 1) / classes)


def test_a_model_as_sure_as_it_is_right_is_calibrated():
    sure = np.repeat([0.25, 0.75], [8, 4])
    hits = np.array([1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0], float)
    assert calibration_error(sure, hits) == pytest.approx(0, abs=1e-12)
    assert calibration_error(sure, 1 - hits) == pytest.approx(8 / 12 * 0.5 + 4 / 12 * 0.5)
    assert calibration_error(np.ones(3), np.ones(3)) == 0
