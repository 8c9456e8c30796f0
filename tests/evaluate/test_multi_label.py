"""Several labels per sample, against scikit-learn."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import average_precision_score, f1_score

from geolangbind.errors import DataError, SettingsError
from geolangbind.evaluate.encoded import Encoded
from geolangbind.evaluate.multi_label import average_precision, f1_of, macro, multi_label, named
from geolangbind.evaluate.prompts import prompts_hash

NAMES = tuple("abcde")
CLASSES = {name: (f"class {name}",) for name in NAMES}


def drawn(seed, n=80, ties=False):
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 5)) < [0.5, 0.3, 0.2, 0.1, 0]).astype(float)  # the last class never occurs
    scores = 0.5 * truth + rng.normal(size=(n, 5))
    return (np.round(scores) if ties else scores), truth


def encoded_of(scores, truth):
    """Samples whose vectors are their scores, against one-hot classes."""
    labels = tuple({"classes": [name for name, there in zip(NAMES, row, strict=True) if there]} for row in truth)
    keys = tuple(map(str, range(len(truth))))
    return Encoded("msi", ("s2",), ("B02", "B03"), keys, torch.tensor(scores, dtype=torch.float32), labels, ((),) * len(truth), "ab")


def embedder(scale=3.0):
    return SimpleNamespace(scale=scale, texts=lambda texts: torch.eye(5)[[NAMES.index(text[-1]) for text in texts]])


@pytest.mark.parametrize("ties", [False, True])
def test_all_four_metrics_are_scikit_learns(ties):
    scores, truth = drawn(1, ties=ties)
    scores = scores.astype(np.float32).astype(float)
    found = {one.metric: one for one in multi_label(embedder(), encoded_of(scores, truth), CLASSES, "classes")}
    given = (softmax(3 * scores, axis=1) >= 1 / 5 - 1e-9).astype(int)
    there = truth.any(axis=0)
    expected = {
        "map_macro": average_precision_score(truth[:, there], scores[:, there], average="macro"),
        "map_micro": average_precision_score(truth, scores, average="micro"),
        "f1_macro": f1_score(truth[:, there], given[:, there], average="macro"),
        "f1_micro": f1_score(truth, given, average="micro"),
    }
    assert {name: one.value for name, one in found.items()} == pytest.approx(expected)
    for one in found.values():
        assert (one.task, one.modality, one.n, one.sensors, one.bands) == ("multi_label", "msi", 80, "s2", "B02 B03")
        assert one.low < one.value < one.high and one.prompts == prompts_hash(CLASSES, "msi")
    assert {name: row["n"] for name, row in found["map_macro"].details["per_class"].items()} == dict(
        zip("abcd", truth.sum(0).astype(int), strict=False)
    )


def test_chance_is_what_one_score_for_all_reaches():
    _, truth = drawn(2)
    there = truth.any(axis=0)
    found = {one.metric: one.chance for one in multi_label(embedder(), encoded_of(np.zeros_like(truth), truth), CLASSES, "classes")}
    everything = np.ones_like(truth)
    assert found == pytest.approx(
        {
            "map_macro": average_precision_score(truth[:, there], everything[:, there]),
            "map_micro": average_precision_score(truth, everything, average="micro"),
            "f1_macro": f1_score(truth[:, there], everything[:, there], average="macro"),
            "f1_micro": f1_score(truth, everything, average="micro"),
        }
    )


@pytest.mark.parametrize("ties", [False, True])
def test_weights_are_repeated_samples(ties):
    scores, truth = drawn(3, 40, ties)
    weights = np.random.default_rng(0).integers(0, 3, (4, 40)).astype(float)
    given = (scores > 0.3).astype(float)
    precision, f1 = average_precision(scores[:, :2], truth[:, :2], weights), f1_of(given[:, :2], truth[:, :2], weights)
    for number, row in enumerate(weights):
        for column in range(2):
            peer = average_precision_score(truth[:, column], scores[:, column], sample_weight=row)
            assert precision[number, column] == pytest.approx(peer)
            assert f1[number, column] == pytest.approx(f1_score(truth[:, column], given[:, column], sample_weight=row))


def test_the_threshold_is_a_multiple_of_a_blind_guess():
    scores = np.log([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])
    assert named(scores, 1.0, 1.0).tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]
    assert named(scores, 1.0, 1.5).tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]
    assert named(scores, 1.0, 0.5).tolist() == [[0, 1, 1, 1], [1, 1, 1, 1]]
    with pytest.raises(SettingsError, match="threshold must be above 0, got 0"):
        multi_label(embedder(), encoded_of(*drawn(0)), CLASSES, "classes", threshold=0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"classes": ["a", "z"]}, "msi sample 0 has classes='z', which is none of a, b, c, d, e"),
        ({"classes": "a"}, "has classes='a', no list"),
        ({}, "has classes=None, no list"),
        ({"classes": []}, "no msi sample has a class under 'classes'"),
    ],
)
def test_labels_that_cannot_be_used_are_named(labels, message):
    one = Encoded("msi", ("s2",), ("B02",), ("0",), torch.ones(1, 5), (labels,), ((),))
    with pytest.raises(DataError, match=message):
        multi_label(embedder(), one, CLASSES, "classes")


def test_a_draw_without_any_class_says_nothing():
    rows = np.array([[0.5, 1.0], [0.4, 0.0]])  # score and truth; one sample has the class, the other none
    found = macro(average_precision)(np.array([[1.0, 1.0], [0.0, 2.0]]), rows)
    assert found[0] == 1 and np.isnan(found[1])
