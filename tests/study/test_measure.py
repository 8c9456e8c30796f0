"""Measurements of a frozen model: by hand, against scikit-learn, and on a few scenes of the planet."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.encoded import encode_streams
from geolangbind.evaluate.prompts import label_phrases
from geolangbind.evaluate.zero_shot import zero_shot
from geolangbind.planet.groups import CLASSES
from geolangbind.planet.write import write_planet
from geolangbind.study.measure import encode, majority, measure, probe
from geolangbind.weights.load import load


@pytest.fixture(scope="module")
def model():
    return load("planet-tiny")


@pytest.fixture(scope="module")
def planet(tmp_path_factory):
    folders = {split: tmp_path_factory.mktemp("measure") / split for split in ("train", "test")}
    for split, folder in folders.items():
        write_planet(folder, 24, seed=5, modalities=("sar", "dem"), workers=1, split=split, progress=False)
    return folders


def test_the_majority_of_a_patch_counts_pixels_and_ties_go_to_the_lower_class() -> None:
    mask = torch.tensor([[0, 0, 3, 1, 9], [0, 2, 1, 3, 9], [2, 2, 7, 7, 9], [5, 5, 7, 7, 9]], dtype=torch.uint8)
    # the fifth column is no whole patch; 3 1 / 1 3 and 2 2 / 5 5 are even
    assert majority(mask[None], 2).tolist() == [[0, 1, 2, 7]]


def test_the_probe_is_the_logistic_regression_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    centers = rng.normal(size=(4, 8))
    truth = torch.from_numpy(rng.integers(0, 4, 700))
    points = torch.from_numpy(centers[truth] * 2 + rng.normal(size=(700, 8)) * 1.5).float() * 3 + 10
    train, test = slice(0, 500), slice(500, 700)
    told = probe(points[train], truth[train], points[test], decay=1e-2, steps=200)
    std, mean = torch.std_mean(points[train], dim=0)
    x = ((points - mean) / std).numpy()
    # scikit-learn's penalty is one half of the squared norm, its loss C times a sum over samples
    peer = LogisticRegression(C=1 / (1e-2 * 500), max_iter=500).fit(x[train], truth[train].numpy())
    assert (told.numpy() == peer.predict(x[test])).mean() >= 0.99
    again = probe(points[train], truth[train], points[test], most=200, seed=3)
    assert torch.equal(again, probe(points[train], truth[train], points[test], most=200, seed=3))
    assert probe(points, torch.full((700,), 2), points[test]).tolist() == [2] * 200  # nothing but one class was ever seen


def test_figures_of_a_model(model, planet) -> None:
    found = measure(model, planet["test"], planet["train"])
    assert set(found) == {"zero_shot", "knn", "mask_miou", "mask_accuracy"}
    shards = ShardSet.open(planet["test"])
    for modality in ("sar", "dem"):
        streams = shards.select([modality])
        embedder = Ours("", "", model)
        expected = zero_shot(embedder, encode_streams(embedder, streams), label_phrases(shards, "scene_class"), "scene_class")[0]
        assert found["zero_shot"][modality] == {
            "value": pytest.approx(expected.value), "low": pytest.approx(expected.low), "high": pytest.approx(expected.high), "n": 24,
        }  # fmt: skip
        assert found["mask_miou"][modality]["n"] == 24 * 64  # 8 x 8 patches of 8 pixels
        assert 0 < found["mask_miou"][modality]["value"] < found["mask_accuracy"][modality]["value"] <= 1
        assert 0 <= found["knn"][modality]["value"] <= 1


def test_subsets_are_drawn_by_the_seed_and_no_bank_means_zero_shot_only(model, planet) -> None:
    first, again, other = (measure(model, planet["test"], scenes=10, seed=seed, modalities=["sar"]) for seed in (0, 0, 1))
    assert set(first) == {"zero_shot"} and set(first["zero_shot"]) == {"sar"}
    assert first == again and first["zero_shot"]["sar"]["n"] == 10
    streams = ShardSet.open(planet["test"]).select(["sar"])
    truths = [encode(model, streams, CLASSES, "scene_class", 10, seed).truth.tolist() for seed in (0, 1)]
    assert truths[0] != truths[1] and other["zero_shot"]["sar"]["n"] == 10


def test_foreign_labels_are_refused(model, planet) -> None:
    streams = ShardSet.open(planet["test"]).select(["dem"])
    with pytest.raises(DataError, match="none of forest, river"):
        encode(model, streams, ["forest", "river"], "scene_class", 24, 0)
    with pytest.raises(DataError, match="colour"):
        encode(model, streams, CLASSES, "colour", 2, 0)
