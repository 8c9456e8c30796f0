"""Masks from words, with an embedder whose answers are known and with ours."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from geolangbind.errors import DataError
from geolangbind.evaluate.embedder import Ours, Patches
from geolangbind.evaluate.open_vocabulary import PLANET_COVER, open_vocabulary, similarity
from geolangbind.evaluate.prompts import prompts_hash
from geolangbind.planet.materials import MASK_CLASSES
from geolangbind.weights.load import load

COVER = dict(enumerate(MASK_CLASSES))


class Reader:
    """Knows the word of every pixel; `shift` misunderstands it for another."""

    name, sha256 = "reader", ""

    def __init__(self, shift=0, joint=True):
        self.shift, self.joint = shift, joint

    def texts(self, sentences):
        found = [next(number for number, name in COVER.items() if sentence.endswith(f" {name}")) for sentence in sentences]
        return F.one_hot(torch.tensor(found), 10).float()

    def patches(self, batch):
        seen = F.one_hot((batch.masks.long() + self.shift) % 10, 10).flatten(1, 2).float()
        return Patches(seen, tuple(batch.masks.shape[1:]), seen if self.joint else None, stride=1)


def test_who_knows_every_word_is_right_and_who_takes_one_for_another_is_wrong(streams) -> None:
    found = open_vocabulary(Reader(), streams["sar"], COVER)
    assert {row.metric: row.value for row in found} == {"miou": 1.0, "miou_all_classes": 1.0, "accuracy": 1.0}
    first = found[0]
    assert (first.task, first.n, first.modality, first.sensors, first.low, first.high) == (
        "open_vocabulary",
        12,
        "sar",
        "sentinel-1-grd",
        1,
        1,
    )
    assert first.prompts == prompts_hash({name: (name,) for name in COVER.values()}, "sar")
    assert {row.value for row in open_vocabulary(Reader(shift=1), streams["sar"], COVER)} == {0.0}
    called = open_vocabulary(Reader(), streams["sar"], {**COVER, 0: "sea"}, phrases={"sea": ("deep water", "water")})
    assert called[0].value == 1.0 and called[0].prompts != first.prompts
    # of the words that are asked for only: the others' pixels count nowhere
    some = {number: COVER[number] for number in (3, 1, 4)}
    assert set(open_vocabulary(Reader(), streams["sar"], some, batch_size=5)[0].details["iou"]) <= set(some.values())


def test_pixels_between_patches_are_as_like_as_both() -> None:
    joint = F.normalize(torch.randn(2, 6, 5), dim=-1)
    texts = F.normalize(torch.randn(3, 5), dim=-1)
    pixels = similarity(Patches(joint, (2, 3), joint, stride=3), texts, (6, 9))
    cosine = np.einsum("bne,ke->bkn", joint.numpy(), texts.numpy()).reshape(2, 3, 2, 3)
    np.testing.assert_allclose(pixels[:, :, 1::3, 1::3], cosine, atol=1e-6)
    np.testing.assert_allclose(pixels[:, :, 1, 2], cosine[:, :, 0, 0] * 2 / 3 + cosine[:, :, 0, 1] / 3, atol=1e-6)


def test_the_built_in_model_finds_more_than_chance_and_batches_move_nothing(streams) -> None:
    ours = Ours("planet-tiny", "", load("planet-tiny"))
    found = open_vocabulary(ours, streams["rgb"], COVER, phrases=PLANET_COVER)
    assert found[0].value > found[0].chance
    again = open_vocabulary(ours, streams["rgb"], COVER, phrases=PLANET_COVER, batch_size=5)
    assert [row.value for row in again] == pytest.approx([row.value for row in found], abs=1e-6)


def test_phrases_of_the_planet_are_words_of_its_captions() -> None:
    model = load("planet-tiny")
    assert set(PLANET_COVER) == set(MASK_CLASSES)
    assert model.unknown_words([phrase for phrases in PLANET_COVER.values() for phrase in phrases]) == []


def test_what_cannot_be_done_is_said(streams) -> None:
    with pytest.raises(DataError, match="one modality at a time"):
        open_vocabulary(Reader(), [*streams["sar"], *streams["rgb"]], COVER)
    with pytest.raises(DataError, match="no vectors in the space of its texts"):
        open_vocabulary(Reader(joint=False), streams["sar"], COVER)
