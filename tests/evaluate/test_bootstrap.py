"""Bootstrap intervals against closed forms, SciPy and scikit-learn."""

import time

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from geolangbind.evaluate.bootstrap import bootstrap, weighted_class_mean, weighted_gap, weighted_mean, weighted_ratio
from geolangbind.evaluate.metrics import calibration_error, confidence_bins, mean_class

RNG = np.random.default_rng(0)


def test_of_a_share_it_is_the_binomial_law():
    hits = np.repeat([1.0, 0.0], [120, 80])[:, None]
    low, high = bootstrap(hits, weighted_mean, "ab")
    expected = np.array(stats.binom.ppf([0.025, 0.975], 200, 0.6)) / 200
    assert (low, high) == pytest.approx(tuple(expected), abs=0.011)  # two steps of 1/200


def test_of_a_mean_it_is_scipys():
    values = RNG.normal(size=(60, 1))
    peer = stats.bootstrap((values[:, 0],), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1))
    expected = (peer.confidence_interval.low, peer.confidence_interval.high)
    assert bootstrap(values, weighted_mean, "1") == pytest.approx(expected, abs=0.04)


def test_the_same_data_gives_the_same_interval():
    rows = RNG.integers(0, 2, (50, 1)).astype(float)
    assert bootstrap(rows, weighted_mean, "c0ffee") == bootstrap(rows[::-1], weighted_mean, "c0ffee")
    assert bootstrap(RNG.normal(size=(50, 1)), weighted_mean, "c0ffee") != bootstrap(RNG.normal(size=(50, 1)), weighted_mean, "f00d")
    assert bootstrap(np.ones((5, 1)), weighted_mean, "") == (1.0, 1.0)


def test_models_in_one_row_are_drawn_together():
    """Two models that err on the same images differ by nothing, however wide each one's interval is."""
    hits = RNG.integers(0, 2, 100).astype(float)
    assert bootstrap(np.stack([hits, hits], axis=1), lambda weights, rows: weights @ (rows[:, 0] - rows[:, 1]), "1") == (0.0, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_statistics_of_weights_are_those_of_repeated_samples(seed):
    rng = np.random.default_rng(seed)
    truth, hits, sure = rng.integers(0, 4, 30), rng.integers(0, 2, 30).astype(float), rng.random(30)
    weights = rng.integers(0, 3, (2, 30)).astype(float)
    weights[:, truth == 3] = 0  # a class that is not drawn
    for drawn, mean, gap in zip(
        weights.astype(int),
        weighted_class_mean(weights, np.stack([truth, hits], axis=1)),
        weighted_gap(weights, np.stack([confidence_bins(sure), hits - sure], axis=1)),
        strict=True,
    ):
        again = np.repeat(np.arange(30), drawn)
        assert mean == pytest.approx(mean_class(hits[again], truth[again]))
        told = np.where(hits == 1, truth, (truth + 1) % 3)
        assert mean == pytest.approx(balanced_accuracy_score(truth[again], told[again]))
        assert gap == pytest.approx(calibration_error(sure[again], hits[again]))


def test_a_thousand_resamples_of_thousands_of_images_take_milliseconds():
    hits = RNG.integers(0, 2, (20_000, 1)).astype(float)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        bootstrap(hits, weighted_mean, "1")
        times.append(time.perf_counter() - began)
    assert min(times) < 0.1


def test_a_ratio_is_of_sums():
    rows, weights = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(weighted_ratio(weights, rows), [4 / 6, 2 / 4, 3 / 4])
