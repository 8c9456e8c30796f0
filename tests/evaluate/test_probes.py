"""Probes against scikit-learn, and at chance where there is nothing to find."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from geolangbind.errors import DataError, SettingsError
from geolangbind.evaluate import probes
from geolangbind.evaluate.encoded import Encoded
from geolangbind.evaluate.metrics import wilson_interval
from geolangbind.evaluate.probes import few_shot, knn, linear_probe, logistic_scores, neighbour_votes

CLASSES = np.array(["lake", "forest", "road", "city"])


def encoded(vectors, labels, label="scene"):
    """Images of given vectors and labels."""
    count = len(vectors)
    keys = tuple(f"s{number:03}" for number in range(count))
    return Encoded("sar", ("sentinel1",), ("VV", "VH"), keys, vectors, tuple({label: value} for value in labels), ((),) * count)


def blobs(count, seed, spread=1.0, classes=4):
    """Unit vectors around class centres, and their class numbers."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % classes
    centers = np.random.default_rng(99).normal(size=(classes, 8))
    points = centers[truth] + spread * rng.normal(size=(count, 8))
    return F.normalize(torch.from_numpy(points).float(), dim=1), truth


@pytest.fixture(scope="module")
def bank():
    vectors, truth = blobs(120, 0, 1.5)
    return encoded(vectors, CLASSES[truth]), truth


@pytest.fixture(scope="module")
def asked():
    vectors, truth = blobs(80, 1, 1.5)
    return encoded(vectors, CLASSES[truth]), truth


def one_hot(numbers, count):
    return F.one_hot(torch.as_tensor(numbers), count).bool()


@pytest.mark.parametrize("k", [1, 7, 20])
def test_votes_are_those_of_scikit_learn(bank, asked, k, monkeypatch) -> None:
    peer = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(bank[0].vectors.numpy(), bank[1])
    expected = peer.predict_proba(asked[0].vectors.numpy())
    votes = neighbour_votes(bank[0].vectors, one_hot(bank[1], 4), asked[0].vectors, k)
    np.testing.assert_allclose(votes.numpy(), expected, atol=1e-9)
    monkeypatch.setattr(probes, "_MOST_PAIRS", 700)  # five queries at a time
    assert torch.equal(neighbour_votes(bank[0].vectors, one_hot(bank[1], 4), asked[0].vectors, k), votes)
    (found,) = knn(asked[0], bank[0], "scene", k=k)
    best = expected >= expected.max(1, keepdims=True) - 1e-9
    value = np.mean(best[np.arange(80), asked[1]] / best.sum(1))  # a tie of two classes is half right
    assert found.value == pytest.approx(value) and (found.low, found.high) == wilson_interval(found.value, 80)
    assert (found.task, found.metric, found.modality, found.sensors, found.bands, found.n) == (
        "knn",
        "top1",
        "sar",
        "sentinel1",
        "VV VH",
        80,
    )
    assert found.chance == 0.25 and np.mean(list(found.details["per_class"].values())) == pytest.approx(value)


def test_neighbours_as_far_as_the_last_share_its_vote() -> None:
    corner = torch.eye(3)
    bank = corner[[0, 1, 1, 1, 2]]
    votes = neighbour_votes(bank, one_hot([0, 1, 1, 2, 0], 3), corner[:2], 2)
    # the nearest of the first query is the first; the four others are equally far and share the second vote
    np.testing.assert_allclose(votes, [[(1 + 1 / 4) / 2, 2 / 4 / 2, 1 / 4 / 2], [0, 2 / 3, 1 / 3]], atol=1e-9)
    assert torch.equal(
        neighbour_votes(bank, one_hot([0, 1, 1, 2, 0], 3), corner[:2], 99)[0], torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64)
    )


def test_a_linear_probe_is_a_standardised_logistic_regression(bank, asked) -> None:
    (found,) = linear_probe(asked[0], bank[0], "scene")
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=found.details["c"], max_iter=1000))
    peer.fit(bank[0].vectors.double().numpy(), bank[1])
    assert found.value == pytest.approx(peer.score(asked[0].vectors.double().numpy(), asked[1]))
    assert found.value > 0.6 and found.chance == 0.25 and found.low < found.value < found.high


def test_its_strength_is_chosen_without_the_images_to_tell(bank, asked) -> None:
    wrong = encoded(-asked[0].vectors, np.roll(CLASSES[asked[1]], 1))
    chosen = {linear_probe(images, bank[0], "scene", seed=3)[0].details["c"] for images in (asked[0], wrong)}
    order = np.random.default_rng(3).permutation(120)
    x, held, kept = StandardScaler().fit_transform(bank[0].vectors.double()), order[:24], order[24:]
    shares = {
        c: LogisticRegression(C=c, max_iter=1000).fit(x[kept], bank[1][kept]).score(x[held], bank[1][held])
        for c in (1e-3, 0.01, 0.1, 1, 10)
    }
    assert chosen == {max(shares, key=shares.get)}


def test_unseen_classes_stay_behind_and_one_class_is_told_of_all() -> None:
    x = np.random.default_rng(0).normal(size=(30, 3))
    scores = logistic_scores(x, np.arange(30) % 2 * 2, x, 4, c=1.0)
    assert set(scores.argmax(1)) == {0, 2} and (scores[:, [1, 3]] < -1e300).all()
    assert (logistic_scores(x, np.full(30, 2), x, 4, c=1.0).argmax(1) == 2).all()


def test_images_of_several_labels_are_scored_by_mean_average_precision() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(160, 6))
    y = x @ rng.normal(size=(6, 3)) + 0.7 * rng.normal(size=(160, 3)) > 0.5
    names = np.array(["a", "b", "c"])
    vectors = F.normalize(torch.from_numpy(x).float(), dim=1)
    known, images = (encoded(vectors[part], [list(names[row]) for row in y[part]]) for part in (slice(0, 100), slice(100, 160)))
    unit, seen, truth = vectors.double().numpy(), y[:100], y[100:]
    peer = KNeighborsClassifier(20, metric="cosine", algorithm="brute").fit(unit[:100], seen.astype(int))
    votes = np.stack([column[:, 1] for column in peer.predict_proba(unit[100:])], axis=1)
    (near,) = knn(images, known, "scene")
    assert near.metric == "map" and near.value == pytest.approx(average_precision_score(truth, votes.round(9), average="macro"))
    (probe,) = linear_probe(images, known, "scene")
    peer = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression(C=probe.details["c"], max_iter=1000))).fit(
        unit[:100], seen
    )
    expected = average_precision_score(truth, peer.decision_function(unit[100:]), average=None)
    assert probe.value == pytest.approx(expected.mean(), abs=1e-6)
    assert list(probe.details["per_class"].values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert probe.low < probe.value < probe.high and probe.chance == pytest.approx(truth.mean(0).mean())
    assert [row.metric for row in few_shot(images, known, "scene", shots=(1, 5), draws=2)] == ["map_1_shots", "map_5_shots"]


def test_few_shots_are_drawn_again_and_again_and_the_fewer_are_among_the_more(bank, asked, monkeypatch) -> None:
    learned = []

    def recorded(features, labels, queries, count, **settings):
        learned.append({tuple(row) for row in features})
        assert np.bincount(labels).tolist() == [len(labels) // 4] * 4
        return logistic_scores(features, labels, queries, count, **settings)

    monkeypatch.setattr(probes, "logistic_scores", recorded)
    found = few_shot(asked[0], bank[0], "scene", shots=(2, 10, 1, 31), draws=3)
    assert [row.metric for row in found] == ["top1_1_shots", "top1_2_shots", "top1_10_shots"]  # the bank has 30 images of each class
    assert [len(rows) for rows in learned] == [4] * 3 + [8] * 3 + [40] * 3
    assert all(learned[draw] < learned[3 + draw] < learned[6 + draw] for draw in range(3)) and learned[0] != learned[1]
    for row in found:
        draws = row.details["draws"]
        low, high = stats.t.interval(0.95, 2, np.mean(draws), stats.sem(draws))
        assert (row.value, row.low, row.high) == pytest.approx((np.mean(draws), max(low, 0), min(high, 1))) and row.chance == 0.25
    assert found == few_shot(asked[0], bank[0], "scene", shots=(1, 2, 10), draws=3)
    (once,) = few_shot(asked[0], bank[0], "scene", shots=(5,), draws=1)
    assert once.low is None and once.high is None


def every_probe(images, known):
    return [*knn(images, known, "scene"), *linear_probe(images, known, "scene"), *few_shot(images, known, "scene", shots=(1, 3))]


@pytest.mark.parametrize("frequent", [30, 60])
def test_a_constant_encoder_is_at_chance_and_an_oracle_is_right(bank, frequent) -> None:
    numbers = np.r_[np.arange(120) % 4, np.zeros(frequent - 30, int)]  # "lake" may be the most frequent class of the bank
    same = F.normalize(torch.ones(1, 8), dim=1)
    images = encoded(same.expand(10, 8), CLASSES[[0, 0, 0, 1, 1, 1, 1, 2, 2, 3]])
    for found in every_probe(images, encoded(same.expand(len(numbers), 8), CLASSES[numbers])):
        blind = 0.3 if frequent > 30 and found.task != "few_shot" else 0.25
        assert found.value == pytest.approx(found.chance) == pytest.approx(blind), found
    several = [
        *knn(images, images, "scene"),
        *knn(encoded(images.vectors, [[], ["a"]] * 5), encoded(images.vectors, [["a"], []] * 5), "scene"),
    ]
    assert several[-1].value == several[-1].chance == 0.5
    oracle = encoded(torch.eye(8)[numbers], CLASSES[numbers])
    assert [found.value for found in every_probe(oracle, oracle)] == [1.0] * 4


def test_the_order_of_the_bank_moves_nothing(bank, asked) -> None:
    order = np.random.default_rng(5).permutation(120)
    shuffled = encoded(bank[0].vectors[order], CLASSES[bank[1][order]])
    assert knn(asked[0], bank[0], "scene")[0].value == pytest.approx(knn(asked[0], shuffled, "scene")[0].value, abs=1e-12)


def test_what_cannot_be_probed_is_said(bank, asked) -> None:
    with pytest.raises(DataError, match="sample s000 has no label 'use'"):
        knn(asked[0], bank[0], "use")
    with pytest.raises(SettingsError, match="k is 0"):
        knn(asked[0], bank[0], "scene", k=0)
    with pytest.raises(DataError, match="holds 3 sar images"):
        linear_probe(asked[0], encoded(bank[0].vectors[:3], CLASSES[:3]), "scene")
    with pytest.raises(SettingsError, match="rarest class of the bank has 30"):
        few_shot(asked[0], bank[0], "scene", shots=(31,))
