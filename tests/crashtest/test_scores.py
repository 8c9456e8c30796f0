import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from geolangbind.crashtest.scores import drift, interval, margin, place_weights, quotient, same_place_auc

ONES = np.ones((1, 4))


def unit(rows, seed=0, width=5):
    return torch.nn.functional.normalize(torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, width))), dim=1)


def test_an_oracle_is_always_right_and_a_constant_tosses_a_coin():
    same, alike = torch.eye(4), torch.ones(4, 3) / 3**0.5
    assert same_place_auc(same, same, ONES)[0] == 1
    assert margin(same, same, ONES)[0] == 1
    assert same_place_auc(alike, alike, ONES)[0] == 0.5
    assert margin(alike, alike, ONES)[0] == pytest.approx(0, abs=1e-7)


def test_an_inverted_order_is_always_wrong():
    places = torch.eye(4)
    assert same_place_auc(places, -places, ONES)[0] == 0


def test_auc_is_the_mean_of_scikit_learns_per_query():
    queries, candidates = unit(9), unit(9, seed=1)
    similarity = (queries @ candidates.T).numpy()
    each = [roc_auc_score(np.arange(9) == row, similarity[row]) for row in range(9)]
    assert same_place_auc(queries, candidates, np.ones((1, 9)))[0] == pytest.approx(np.mean(each), abs=1e-12)


def test_margin_and_drift_worked_out_by_hand():
    before = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    after = torch.tensor([[0.6, 0.8], [0.0, 1.0]])
    two = np.ones((1, 2))
    # same 0.6 and 1, other 0 (first to the second's) and 0.8
    assert margin(before, after, two)[0] == pytest.approx((0.6 + 1) / 2 - (0 + 0.8) / 2)
    # moved by |(0.4, -0.8)| = sqrt(0.8) and 0; the places lie sqrt(2) apart
    assert drift(before, after, two)[0] == pytest.approx(0.8**0.5 / 2 / 2**0.5)


def test_a_constant_model_drifts_as_far_as_another_place_lies():
    alike = torch.ones(4, 3) / 3**0.5
    assert drift(alike, alike, ONES)[0] == 1
    assert drift(torch.eye(4), torch.eye(4), ONES)[0] == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 8), st.integers(0, 99))
def test_weights_count_places_and_the_first_row_all_of_them(places, seed):
    weights = place_weights(places, seed, replicates=20)
    assert weights.shape == (21, places)
    assert (weights[0] == 1).all() and (weights.sum(axis=1) == places).all()
    assert (weights == place_weights(places, seed, replicates=20)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99))
def test_a_replicate_is_the_score_of_the_places_it_drew(seed):
    """Drawn places written out, pairs of one and the same place left out: a double loop."""
    queries, candidates = unit(5, seed), unit(5, seed + 1)
    weights = place_weights(5, seed, replicates=1)
    drawn = np.repeat(np.arange(5), weights[1].astype(int))
    similarity = (queries @ candidates.T).numpy()
    pairs = [float(similarity[i, i] > similarity[i, j]) for i in drawn for j in drawn if i != j]
    if pairs:
        assert same_place_auc(queries, candidates, weights)[1] == pytest.approx(np.mean(pairs))


def test_a_replicate_of_one_place_counts_in_no_interval():
    weights = np.array([[1.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
    score = same_place_auc(torch.eye(2), torch.eye(2), weights)
    assert np.isnan(score[1])
    assert interval(score) == (1, 1, 1)


def test_an_interval_without_any_usable_replicate_is_its_value():
    assert interval(np.array([0.3, np.nan])) == (0.3, 0.3, 0.3)


def test_interval_is_the_percentiles_and_encloses_the_value():
    score = np.concatenate([[0.5], np.linspace(0, 1, 1001)])
    assert interval(score) == pytest.approx((0.5, 0.025, 0.975))
    assert interval(np.array([0.9, 0.1, 0.2]))[2] == 0.9


def test_quotient_of_nothing():
    assert quotient(np.array([0.0, 1.0]), np.array([0.0, 2.0]), otherwise=7.0).tolist() == [7.0, 0.5]
