"""Zero-shot scores of embedders whose accuracy is known beforehand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geolangbind.errors import DataError
from geolangbind.evaluate.encoded import encode_streams
from geolangbind.evaluate.metrics import confidences, confusion, standing, wilson_interval
from geolangbind.evaluate.prompts import prompts, prompts_hash
from geolangbind.evaluate.zero_shot import class_scores, class_vectors, judge, true_classes, zero_shot
from geolangbind.planet.groups import CLASSES
from geolangbind.planet.language import class_phrases

WORDS = {name: tuple(class_phrases(name)) for name in CLASSES}


@pytest.fixture(scope="module")
def encoded(oracle, streams):
    return encode_streams(oracle, streams["rgb"])


def by_metric(measures):
    return {one.metric: one for one in measures}


def test_half_an_oracle_scores_half(oracle, encoded):
    """The first six samples have their own vectors, the others those of the first six's neighbours in class."""
    truth = true_classes(encoded, WORDS, "scene_class")
    vectors = encoded.vectors.clone()
    vectors[6:, :28] = torch.eye(28)[(truth[6:] + 1) % 24]
    found = by_metric(zero_shot(oracle, replace(encoded, vectors=vectors), WORDS, "scene_class"))
    assert (found["top1"].value, found["top1"].n, found["top1"].chance) == (0.5, 12, 1 / 24)
    assert (found["top1"].low, found["top1"].high) == wilson_interval(0.5, 12) and found["top5"].chance == 5 / 24
    told = found["top1"].details
    assert told["bootstrap"][0] < 0.5 < told["bootstrap"][1] and told["classes"] == list(CLASSES)
    table = np.array(told["confusion"])
    assert table.sum() == 12 and table.trace() == 6
    assert sum(row["n"] for row in told["per_class"].values()) == 12
    means = [row["accuracy"] for row in told["per_class"].values()]
    assert found["mean_class"].value == pytest.approx(np.mean(means))
    assert [table[i, (i + 1) % 24] for i in truth[6:]] == [(truth[6:] == i).sum() for i in truth[6:]]


def test_calibration_is_told_by_bins(oracle, encoded):
    """An image is twice as near to its class as to nothing else: p = e^s / (e^s + 23) with s = scale / sqrt 3."""
    found = by_metric(zero_shot(replace(oracle, scale=4.0), encoded, WORDS, "scene_class"))["ece"]
    sure = np.exp(4 / 3**0.5) / (np.exp(4 / 3**0.5) + 23)
    assert found.value == pytest.approx(1 - sure, abs=1e-6) and found.chance == 0
    bins = found.details["calibration"]
    assert (bins["count"], bins["accuracy"]) == ([12], [1.0]) and bins["confidence"] == pytest.approx([sure], abs=1e-6)
    assert found.details["scale"] == 4.0


def test_few_classes_have_no_top_five(oracle, encoded):
    seasons = dict.fromkeys(("winter", "spring", "summer", "autumn"), ("forest",))
    assert list(by_metric(zero_shot(oracle, encoded, seasons, "season"))) == ["top1", "mean_class", "ece"]


def test_measures_say_what_was_seen_and_read(oracle, encoded):
    for one in zero_shot(oracle, encoded, WORDS, "scene_class", ["a satellite image of {}"]):
        assert (one.task, one.modality, one.sensors, one.bands) == ("zero_shot", "rgb", "sentinel-2-tci", "R G B")
        assert one.prompts == prompts_hash(WORDS, "rgb", ["a satellite image of {}"])


def test_class_vectors_are_normalised_means_over_sentences(model):
    vectors = class_vectors(model, {"a": ("forest", "trees"), "b": ("a river",)}, "sar")
    expected = model.encode_text(prompts(("forest", "trees"), "sar")).double().mean(0)
    torch.testing.assert_close(vectors[0].double(), expected / expected.norm(), rtol=0, atol=1e-6)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_scores_are_cosines_with_the_templates_given(oracle, encoded):
    scores = class_scores(oracle, encoded, WORDS, ["a satellite image of {}"])
    assert scores.shape == (12, 24) and scores.max() == pytest.approx(3**-0.5)


@pytest.mark.parametrize("rows", [1, 7, 500])
def test_judging_rows_at_a_time_is_judging_the_matrix(monkeypatch, rows):
    monkeypatch.setattr("geolangbind.evaluate.zero_shot._BLOCK", rows * 9)
    samples, classes = torch.randn(50, 16, generator=torch.Generator().manual_seed(0)), torch.eye(9, 16)
    classes[8] = classes[7]  # a tie
    scores, truth = (samples @ classes.T).numpy(), np.arange(50) % 9
    found = judge(samples, classes, truth, 3.0)
    assert np.array_equal([found.better, found.tied], standing(scores, truth))
    np.testing.assert_allclose(found.sure, confidences(scores, 3.0), rtol=1e-6)
    np.testing.assert_allclose(found.confusion, confusion(scores, truth))


def test_labels_outside_the_classes_are_refused(encoded):
    few = {name: WORDS[name] for name in ("forest", "river")}
    with pytest.raises(DataError, match=r"a rgb sample has scene_class='\w+', which is none of forest, river"):
        true_classes(encoded, few, "scene_class")
    with pytest.raises(DataError, match="a rgb sample has crop=None"):
        true_classes(encoded, WORDS, "crop")
    assert true_classes(encoded, [str(number) for number in range(12)], "scene_index").tolist() == list(range(12))
