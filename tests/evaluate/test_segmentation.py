"""Heads trained on frozen features, with embedders whose answers are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from geolangbind.data.batch import collate
from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError, SettingsError
from geolangbind.evaluate import segmentation as module
from geolangbind.evaluate.embedder import Ours, Patches
from geolangbind.evaluate.overlap import UNLABELLED
from geolangbind.evaluate.segmentation import HeadSettings, class_numbers, labelled, mask_classes, segmentation
from geolangbind.planet.materials import MASK_CLASSES

COVER = dict(enumerate(MASK_CLASSES))
QUICK = HeadSettings(steps=80, batch_size=4, learning_rate=0.2)


class Seer:
    """Sees the mask: features are the shares of each class in patches of 4 pixels; or the same in every patch."""

    name, sha256, seen = "seer", "", 0

    def __init__(self, constant=False, earlier=0):
        self.constant, self.earlier = constant, earlier

    def patches(self, batch):
        self.seen += len(batch)
        shares = F.avg_pool2d(F.one_hot(batch.masks.long(), 10).movedim(-1, 1).float(), 4).flatten(2).mT
        features = torch.ones_like(shares) if self.constant else shares
        return Patches(features, (16, 16), None, (features,) * self.earlier, 4)


def values(found):
    return {row.metric: row.value for row in found}


def test_a_head_learns_what_the_features_hold(streams) -> None:
    found = segmentation(Seer(), streams["sar"], streams["sar"], COVER, QUICK)
    assert [row.metric for row in found] == ["linear_miou", "linear_miou_all_classes", "linear_accuracy"]
    assert found[2].value > 0.9 and found[0].value > 0.75  # but for the edges within patches
    assert (found[0].task, found[0].modality, found[0].n, found[0].sensors) == ("segmentation", "sar", 12, "sentinel-1-grd")
    assert set(found[0].details["iou"]) <= set(MASK_CLASSES) and found[0].details["learned_from"] == 12
    settings = replace(QUICK, kind="upernet", width=16, steps=20, learning_rate=5e-3)  # too short to finish
    pyramid = segmentation(Seer(earlier=3), streams["sar"], streams["sar"], COVER, settings)
    assert pyramid[2].value > pyramid[2].chance + 0.15 and pyramid[0].details["layers"] == 4 and pyramid[0].metric == "upernet_miou"


def test_a_constant_encoder_is_no_better_than_chance(streams) -> None:
    found = segmentation(Seer(constant=True), streams["sar"], streams["sar"], COVER, QUICK)
    assert all(row.value <= row.chance + 1e-9 for row in found)
    assert values(found)["linear_accuracy"] == pytest.approx(found[2].chance)  # the most frequent class everywhere


def test_what_is_kept_in_memory_and_who_drew_random_numbers_before_change_nothing(streams) -> None:
    few, found, seen = replace(QUICK, steps=9, batch_size=5), [], []
    image_bytes = 256 * 10 * 4 + 64 * 64
    for memory in (0, 4 * image_bytes, 2**30):
        seer = Seer()
        torch.rand(3)
        state = torch.random.get_rng_state()
        found.append(segmentation(seer, streams["sar"], streams["sar"], COVER, replace(few, memory_bytes=memory)))
        assert torch.equal(state, torch.random.get_rng_state())
        seen.append(seer.seen)
    assert found[0] == found[1] == found[2]
    assert seen[0] > seen[1] > seen[2] == 12 + 12  # once to learn from, once to tell
    other = segmentation(Seer(), streams["sar"], streams["sar"], COVER, replace(few, seed=1))
    assert values(other) != values(found[0])


def test_pixels_of_other_values_or_without_data_count_nowhere(streams, monkeypatch) -> None:
    shown = collate(streams["sar"][0].read_many(range(4)))
    valid = torch.ones_like(shown.masks, dtype=torch.bool)
    valid[:, :20] = False
    batch = replace(shown, valid=valid)
    monkeypatch.setattr(module, "iterate_all", lambda *_: iter([batch]))
    ((_, truth),) = labelled(streams["sar"][:1], {4: "bare ground", 1: "trees"}, 4)
    masks = batch.masks.numpy()
    expected = np.where(masks == 4, 0, np.where(masks == 1, 1, UNLABELLED))
    expected[:, :20] = UNLABELLED
    assert truth.tolist() == expected.tolist() and class_numbers({4: "a", 1: "b"}).unique().tolist() == [0, 1, UNLABELLED]
    with pytest.raises(DataError, match="mask values \\[77\\]"):
        list(labelled(streams["sar"][:1], {77: "nothing"}, 4))


def test_our_model_from_end_to_end(model, streams) -> None:
    settings = HeadSettings(kind="upernet", width=8, steps=4, batch_size=4)
    ours = Ours("random", "", model.eval())
    found = segmentation(ours, streams["dem"], streams["dem"], COVER, settings)
    assert all(0 <= row.low <= row.value <= row.high <= 1 for row in found) and found[0].details["layers"] == 1
    assert found == segmentation(ours, streams["dem"], streams["dem"], COVER, settings)


def test_masks_mean_what_their_shards_say(shards) -> None:
    planet = ShardSet.open(shards)
    assert mask_classes(planet) == COVER
    card = replace(planet, index=replace(planet.index, provenance={"mask_classes": {"3": "road", "0": "other"}}))
    assert mask_classes(card) == {3: "road", 0: "other"}
    with pytest.raises(DataError, match="does not say what its masks mean"):
        mask_classes(replace(planet, index=replace(planet.index, provenance={})))


def test_what_cannot_be_done_is_said(streams, monkeypatch) -> None:
    with pytest.raises(DataError, match="one modality"):
        segmentation(Seer(), streams["sar"], streams["rgb"], COVER)
    with pytest.raises(SettingsError, match="linear or upernet, not 'unet'"):
        HeadSettings(kind="unet")
    with pytest.raises(SettingsError, match="above 0"):
        HeadSettings(steps=0)
    with pytest.raises(DataError, match="no pixel in 2 batches"):
        segmentation(Seer(), streams["sar"], streams["sar"], {77: "nothing"}, HeadSettings(steps=2))
    bare = replace(collate(streams["sar"][0].read_many([0])), masks=None)
    monkeypatch.setattr(module, "iterate_all", lambda *_: iter([bare]))
    with pytest.raises(DataError, match=r"\(sentinel-1-grd\) has no mask"):
        list(labelled(streams["sar"], COVER, 4))
