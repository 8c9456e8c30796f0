"""Overlap of class maps: by hand, against scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex
from torchmetrics.segmentation import MeanIoU

from geolangbind.evaluate.overlap import UNLABELLED, Overlap

NAMES = ["water", "trees", "grass", "crops", "snow"]


@pytest.fixture(scope="module")
def maps():
    """Six images of five classes, one of which is told only; some pixels unlabelled."""
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.integers(0, 4, (6, 9, 7)))
    told = torch.where(torch.from_numpy(rng.random((6, 9, 7)) < 0.6), truth, torch.from_numpy(rng.integers(0, 5, (6, 9, 7))))
    truth[torch.from_numpy(rng.random((6, 9, 7)) < 0.1)] = UNLABELLED
    return told, truth


def figures(overlap, **options):
    found = overlap.measures("segmentation", "linear_", NAMES, {"modality": "sar"}, {"steps": 3}, **options)
    return {row.metric: row for row in found}


def test_by_hand() -> None:
    truth, told = torch.tensor([[0, 0, 0, 1, 1, 4]]), torch.tensor([[0, 0, 1, 1, 2, 4]])
    overlap = Overlap.of(told, truth, 5)
    assert overlap.both.tolist() == [[2, 1, 0, 0, 1]] and overlap.told.tolist() == [[2, 2, 1, 0, 1]]
    assert overlap.mean_iou() == pytest.approx((2 / 3 + 1 / 3 + 1) / 3)  # class 2 is told once, and is not in the truth
    found = figures(overlap)
    assert found["linear_miou_all_classes"].value == pytest.approx((2 / 3 + 1 / 3 + 0 + 1) / 4)  # class 3 is in neither
    assert found["linear_accuracy"].value == pytest.approx(4 / 6)
    assert found["linear_miou"].details == {"steps": 3, "iou": {"water": 2 / 3, "trees": pytest.approx(1 / 3), "grass": 0.0, "snow": 1.0}}
    assert (found["linear_miou"].modality, found["linear_miou"].n) == ("sar", 1)


def test_as_scikit_learn_and_torchmetrics_have_it(maps) -> None:
    told, truth = maps
    found, mine = figures(Overlap.of(told, truth, 5)), truth != UNLABELLED
    value = jaccard_score(truth[mine], told[mine], labels=[0, 1, 2, 3], average="macro")
    assert found["linear_miou"].value == pytest.approx(value)
    peer = MulticlassJaccardIndex(5, ignore_index=UNLABELLED)(told, truth)
    assert found["linear_miou_all_classes"].value == pytest.approx(float(peer))
    accuracy = MulticlassAccuracy(5, average="micro", ignore_index=UNLABELLED)(told, truth)
    assert found["linear_accuracy"].value == pytest.approx(float(accuracy))
    for image in range(6):  # torchmetrics' MeanIoU takes the mean of each image's; it knows no unlabelled pixels
        one = Overlap.of(told[image : image + 1][mine[image : image + 1]][None], truth[image : image + 1][mine[image : image + 1]][None], 5)
        peer = MeanIoU(5, per_class=True, input_format="index")
        per_class = peer(told[image][mine[image]][None, :, None], truth[image][mine[image]][None, :, None])
        assert np.nan_to_num(one.iou(), nan=-1).tolist() == pytest.approx(per_class.tolist())


def test_counts_of_images_join(maps) -> None:
    told, truth = maps
    whole, parts = Overlap.of(told, truth, 5), [Overlap.of(told[part], truth[part], 5) for part in (slice(0, 1), slice(1, 6))]
    assert figures(Overlap.join(parts)) == figures(whole)


def test_images_without_labels_do_not_count(maps) -> None:
    told, truth = maps
    bare = torch.full_like(truth, UNLABELLED)
    assert figures(Overlap.of(torch.cat([told, told]), torch.cat([bare, truth]), 5)) == figures(Overlap.of(told, truth, 5))


def test_intervals_are_those_of_resampled_images(maps) -> None:
    told, truth = maps
    found = figures(Overlap.of(told, truth, 5))
    rng = np.random.default_rng(7)
    again = [Overlap.of(told[rows], truth[rows], 5).mean_iou() for rows in rng.integers(0, 6, (1500, 6))]
    assert (found["linear_miou"].low, found["linear_miou"].high) == pytest.approx(np.quantile(again, (0.025, 0.975)), abs=0.01)
    same = figures(Overlap.of(told[:1].expand(5, -1, -1), truth[:1].expand(5, -1, -1), 5))
    assert all(row.low == pytest.approx(row.value) == pytest.approx(row.high) for row in same.values())  # no image differs


def test_a_blind_guess_is_at_chance() -> None:
    truth = torch.from_numpy(np.random.default_rng(1).choice(5, (4, 200, 200), p=(0.4, 0.3, 0.2, 0.1, 0)))
    drawn = truth.flatten()[torch.from_numpy(np.random.default_rng(2).permutation(truth.numel()))].reshape(truth.shape)
    assert figures(Overlap.of(drawn, truth, 5))["linear_miou"].value == pytest.approx(
        figures(Overlap.of(truth, truth, 5))["linear_miou"].chance, abs=3e-3
    )
    most = figures(Overlap.of(torch.zeros_like(truth), truth, 5))
    assert most["linear_accuracy"].value == most["linear_accuracy"].chance and most["linear_miou"].value < most["linear_miou"].chance
    skewed = (truth == 3).long()  # nine pixels of ten are of one class, and to tell it of all is the better guess
    most = figures(Overlap.of(torch.zeros_like(skewed), skewed, 5))["linear_miou"]
    assert most.value == pytest.approx(most.chance) == pytest.approx(0.45, abs=3e-3)
    assert {row.value for row in figures(Overlap.of(truth, truth, 5)).values()} == {1.0}


def test_the_best_of_scores_is_counted_like_its_class_and_a_tie_in_equal_shares(maps) -> None:
    told, truth = maps
    scores = torch.nn.functional.one_hot(told, 5).movedim(3, 1).float()
    one, other = Overlap.best(scores, truth), Overlap.of(told, truth, 5)
    for name in ("both", "told", "truth"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    # two pixels of classes 0 and 2, told 0 or 1, and 2; a third has no label
    tied = torch.tensor([[[5.0, 0.0, 1.0]], [[5.0, 0.0, 1.0]], [[0.0, 3.0, 1.0]]]).unsqueeze(0)
    shared = Overlap.best(tied, torch.tensor([[[0, 2, UNLABELLED]]]))
    assert (shared.told.tolist(), shared.both.tolist(), shared.truth.tolist()) == ([[0.5, 0.5, 1]], [[0.5, 0, 1]], [[1, 0, 1]])
    assert shared.iou().tolist() == [0.5, 0, 1]
