import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geolangbind.captions import RULES, Caption, Facts, merge, write_captions
from geolangbind.data.sample import Box
from geolangbind.errors import SettingsError
from geolangbind.sources.card import CAPTION_RULES

FACTS = Facts(
    modality="rgb",
    shape=(90, 90),
    gsd_m=0.5,
    classes=("harbour", "forest"),
    boxes=(Box((10, 10, 20, 20), "ship"), Box((40, 10, 50, 20), "ship"), Box((60, 60, 70, 70), "crane")),
    mask=np.repeat(np.uint8([1, 2]), [60, 30])[:, None].repeat(90, 1),
    mask_words={1: "water", 2: "forest"},
    tags={"natural": "water", "name": "North Quay", "surface": "sand"},
)


def test_the_rules_are_those_of_the_cards():
    assert set(RULES) == set(CAPTION_RULES) - {"given"}


@pytest.mark.parametrize("rule", RULES)
def test_captions_are_different_and_as_many_as_asked_for(rule):
    for count in (0, 1, 2, 4):
        texts = [caption.text for caption in write_captions(rule, FACTS, "key", count)]
        assert len(texts) == len(set(texts)) == count


@pytest.mark.parametrize("rule", RULES)
def test_more_than_can_be_said_is_not_said(rule):
    many = write_captions(rule, FACTS, "key", 1000)
    assert 4 <= len(many) < 100
    assert write_captions(rule, FACTS, "key", 3) == many[:3]


@pytest.mark.parametrize("rule", RULES)
def test_the_key_decides_and_nothing_else(rule):
    first = write_captions(rule, FACTS, "msi-1", 3)
    assert write_captions(rule, FACTS, "msi-1", 3) == first
    assert len({tuple(write_captions(rule, FACTS, f"msi-{i}", 3)) for i in range(20)}) >= 8


def test_the_first_caption_says_the_most():
    for i in range(20):
        assert "two ships and a crane" in write_captions("boxes", FACTS, str(i), 2)[0].text.lower()


@pytest.mark.parametrize("rule", RULES)
def test_nothing_is_said_without_facts(rule):
    assert write_captions(rule, Facts(modality="dem", shape=(9, 9)), "key") == []


@pytest.mark.parametrize(
    ("modality", "carrier", "words"),
    [
        ("sar", None, ("SAR", "radar")),
        ("ir", "aerial", ("thermal", "infrared")),
        ("hsi", None, ("hyperspectral",)),
        ("dem", None, ("elevation", "height")),
        ("msi", "satellite", ("multispectral", "satellite")),
        ("rgb", "satellite", ("satellite",)),
        ("rgb", "aerial", ("aerial",)),
    ],
)
def test_an_image_is_called_what_it_is(modality, carrier, words):
    for i in range(20):
        (caption,) = write_captions("labels", Facts(modality=modality, carrier=carrier, shape=(9, 9), classes=("forest",)), str(i), 1)
        assert any(word in caption.text for word in words)


def test_without_a_known_carrier_no_image_is_from_a_satellite():
    texts = [caption.text for i in range(20) for caption in write_captions("labels", FACTS, str(i), 3)]
    assert not [text for text in texts if "satellite" in text or "aerial" in text]


def test_unknown_rules_and_modalities_are_refused():
    with pytest.raises(SettingsError, match=r"'bxes' writes no captions.*choose from labels, boxes, mask, tags"):
        write_captions("bxes", FACTS, "key")
    with pytest.raises(SettingsError, match="modality 'x-ray' is unknown; choose from rgb, msi"):
        write_captions("labels", Facts(modality="x-ray", shape=(9, 9), classes=("forest",)), "key")


def test_merge_keeps_the_first_of_the_same_sentence():
    merged = merge([Caption("Two  ships.\n", "a"), Caption("two ships", "b"), Caption("Two, ships!", "c"), Caption("Three ships.", "d")])
    assert merged == (Caption("Two ships.", "a"), Caption("Three ships.", "d"))


def test_merge_drops_what_says_nothing():
    assert merge([Caption(text, "a") for text in ("", "  \n", "...", "?!", "a\x00b", "bell\x07", "\ufffe", "\ud800 x")]) == ()


def test_merge_knows_other_scripts():
    texts = ["两艘船。", "三艘船。", "Zwei Schiffe", "नाव", "नव"]
    assert [caption.text for caption in merge(Caption(text, "a") for text in texts)] == texts


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=12), max_size=8))
def test_merge_changes_nothing_the_second_time(texts):
    once = merge(Caption(text, "a") for text in texts)
    assert merge(once) == once
    assert all(caption.text.isprintable() and caption.text.strip() == caption.text for caption in once)
