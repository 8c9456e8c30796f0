"""Sentences: enough patterns, true to the record, always naming the class."""

import pytest

from geolangbind.planet.groups import CLASSES, EUROSAT, MODALITIES
from geolangbind.planet.language import MODALITY_PHRASES, PATTERNS, captions, class_phrases, slots
from geolangbind.planet.scene import draw_scene


def test_enough_patterns_and_phrases() -> None:
    assert len(set(PATTERNS)) == len(PATTERNS) >= 40
    assert all(2 <= len(class_phrases(name)) <= 4 for name in CLASSES)
    every = [phrase for name in CLASSES for phrase in class_phrases(name)]
    assert len(set(every)) == len(every)
    assert set(MODALITY_PHRASES) == set(MODALITIES)


def test_eurosat_names_are_among_the_phrases() -> None:
    """ "AnnualCrop" becomes "annual crop"; SeaLake reads "sea or lake"."""
    for name, scene_class in EUROSAT.items():
        words = "".join(f" {c.lower()}" if c.isupper() else c for c in name).split()
        assert any(words[0] in phrase for phrase in class_phrases(scene_class))


@pytest.mark.parametrize("modality", MODALITIES)
def test_captions_name_the_class_in_few_words(modality: str) -> None:
    for index in range(48):
        scene = draw_scene(3, index)
        sentences = captions(scene, modality, 5)
        assert len(sentences) == len(set(sentences)) == 5
        for sentence in sentences:
            assert any(phrase in sentence for phrase in class_phrases(scene.scene_class)), sentence
            assert len(sentence.split()) <= 20
            assert "{" not in sentence
        assert sentences == captions(draw_scene(3, index), modality, 5)


def test_every_pattern_can_be_filled_by_some_scene() -> None:
    used: set[str] = set()
    for index in range(200):
        filled = {*slots(draw_scene(0, index), "rgb"), "phrase", "modality"}
        used |= {pattern for pattern in PATTERNS if {part.split("}")[0] for part in pattern.split("{")[1:]} <= filled}
    assert used == set(PATTERNS)


def test_slots_say_what_the_record_says() -> None:
    for index in range(150):
        scene = draw_scene(1, index)
        found = slots(scene, "rgb")
        assert found["year"] == str(scene.date.year)
        assert (found["hemisphere"] == "northern") == (scene.place.lat >= 0)
        if "things" in found:
            number = found["things"].split(" ", 1)[0]
            counts = {sum(t.kind == k for t in scene.objects) for k in {t.kind for t in scene.objects}}
            numbers = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
            assert number == "many" or numbers.index(number) in counts
        if "corner" in found:
            assert any((t.center_m[1] < 320) == found["corner"].startswith("north") for t in scene.objects)


def test_no_colours_where_none_can_be_seen() -> None:
    for index in range(100):
        scene = draw_scene(2, index)
        for modality in ("sar", "ir", "dem"):
            assert "colour" not in slots(scene, modality)
        assert "things" not in slots(scene, "dem")


def test_unknown_class() -> None:
    with pytest.raises(KeyError):
        class_phrases("moon")
