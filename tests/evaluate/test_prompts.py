"""Sentences, and the hash that says which were used."""

import pytest

from geolangbind.evaluate import prompts as module
from geolangbind.evaluate.prompts import TEMPLATES, prompts, prompts_hash
from geolangbind.train.settings import MODALITIES

CLASSES = {"SeaLake": ("a sea", "a lake"), "Forest": ("forest",)}


def test_every_phrase_in_every_template():
    assert prompts(["a sea", "a lake"], "sar") == [
        "a radar image of a sea",
        "a SAR image of a sea",
        "a radar image of a lake",
        "a SAR image of a lake",
    ]
    assert set(TEMPLATES) == set(MODALITIES) and all("{}" in text for texts in TEMPLATES.values() for text in texts)


@pytest.mark.parametrize(
    "changed",
    [
        {**CLASSES, "Forest": ("trees",)},
        {**CLASSES, "SeaLake": ("a lake", "a sea")},
        {"SeaLake": CLASSES["SeaLake"], "Wood": ("forest",)},
        {"SeaLake": ("a sea",), "Forest": ("a lake", "forest")},
    ],
)
def test_the_hash_changes_with_phrases_and_names(changed):
    assert prompts_hash(CLASSES, "rgb") != prompts_hash(changed, "rgb")


def test_the_hash_is_stable_and_knows_modality_templates_and_version(monkeypatch):
    first = prompts_hash(CLASSES, "rgb")
    assert len(first) == 12 and int(first, 16) >= 0
    assert first == prompts_hash({name: list(phrases) for name, phrases in CLASSES.items()}, "rgb") != prompts_hash(CLASSES, "msi")
    monkeypatch.setitem(TEMPLATES, "rgb", ("a photo of {}",))
    second = prompts_hash(CLASSES, "rgb")
    monkeypatch.setattr(module, "PROMPTS_VERSION", "2")
    assert len({first, second, prompts_hash(CLASSES, "rgb")}) == 3


def test_templates_of_a_card_or_a_suite_take_the_place_of_the_modalitys():
    own = ("a photo of {}.", "{} from above")
    assert prompts(["a sea", "a lake"], "sar", own) == ["a photo of a sea.", "a sea from above", "a photo of a lake.", "a lake from above"]
    hashes = {prompts_hash(CLASSES, "rgb", templates) for templates in ((), own, own[::-1], own[:1])}
    assert len(hashes) == 4 and prompts_hash(CLASSES, "rgb", TEMPLATES["rgb"]) == prompts_hash(CLASSES, "rgb")
    assert prompts_hash(CLASSES, "rgb", list(own)) == prompts_hash(CLASSES, "msi", own)  # the sentences are the same
