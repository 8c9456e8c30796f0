"""Shares, parts and classes read back out of captions and compared with the mask."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geolangbind.captions import Facts, write_captions
from geolangbind.captions.masks import statements

WORDS = {1: "water", 2: "trees", 3: "bare ground", 4: "crops", 5: "built area", 6: "snow and ice", 7: "wetland"}
FRACTIONS = {
    "a tenth": 1 / 10, "a fifth": 1 / 5, "a quarter": 1 / 4, "a third": 1 / 3, "two fifths": 2 / 5, "half": 1 / 2, "three fifths": 3 / 5,
    "two thirds": 2 / 3, "three quarters": 3 / 4, "four fifths": 4 / 5, "nine tenths": 9 / 10,
}  # fmt: skip
NAMES = "|".join(WORDS.values())
FRACTION = re.compile(rf"({'|'.join(FRACTIONS)}) ({NAMES})")


def facts(mask, words=WORDS, modality="msi"):
    return Facts(modality=modality, shape=mask.shape, mask=mask, mask_words=words)


def share(mask, words, part=None):
    """Share of a class in a half or quarter, as pixels of the class and pixels at all, and its share of all pixels."""
    value = next(number for number, name in WORDS.items() if name == words)
    height, width = mask.shape
    window = mask
    for side in (part or "").split():
        rows = {"upper": window[: -(-height // 2)], "lower": window[height // 2 :]} if side in ("upper", "lower") else {}
        columns = {"left": window[:, : -(-width // 2)], "right": window[:, width // 2 :]} if side in ("left", "right") else {}
        window = (rows | columns).get(side, window)
    return (window == value).mean(), (window == value).sum() / max((mask == value).sum(), 1)


@st.composite
def masks(draw):
    """Rectangles over rectangles, as a map has them, perhaps with a part that is not labelled."""
    height, width = draw(st.integers(8, 21)), draw(st.integers(8, 21))
    mask = np.full((height, width), draw(st.integers(1, 7)), np.uint8)
    for _ in range(draw(st.integers(0, 7))):
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        mask[y : y + draw(st.integers(1, 21)), x : x + draw(st.integers(1, 21))] = draw(st.sampled_from([*WORDS, *WORDS, 0]))
    return mask


@settings(max_examples=80, deadline=None, derandomize=True)
@given(masks(), st.integers(0, 999))
def test_every_sentence_is_true(well_formed, mask, key):
    labelled = (mask > 0).mean()
    for caption in write_captions("mask", facts(mask), str(key), 16):
        text = caption.text
        well_formed(text)
        lower = text.lower()
        told = re.findall(rf"\b({NAMES})\b", lower)
        assert told and all(share(mask, words)[0] > 0 for words in told), text
        assert len(told) == len(set(told)), text
        of_labelled = {words: share(mask, words)[0] / labelled for words in told}
        part = re.search(r"\b((?:upper|lower)? ?(?:left|right)? ?)(?:half|quarter)\b(?! \w* ?(?:" + NAMES + "))", lower)
        part = part[1].strip() if part else ""
        if re.search(r"\d%", text):
            percents = {words: int(number) for number, words in re.findall(rf"(\d+)% ({NAMES})", lower)}
            assert set(percents) == set(told), text
            assert all(abs(of_labelled[words] - number / 100) <= 0.00501 for words, number in percents.items()), text
        elif part:
            words = told[0]
            in_part, of_class = share(mask, words, part)
            if "all of the" in lower:
                assert of_class >= 0.9 and (of_class == 1) == ("nearly" not in lower), text
            elif "mostly" in lower:
                assert in_part > 0.6, text
            else:
                assert of_class >= 0.9 and labelled < 0.95, text
        elif FRACTION.search(lower):
            for fraction, words in FRACTION.findall(lower):
                assert abs(of_labelled[words] - FRACTIONS[fraction]) < 0.05, text
            rest = re.search(rf"the rest (mostly )?({NAMES})", lower)
            if rest:
                others = 1 - of_labelled[told[0]]
                assert of_labelled[rest[2]] > 0.6 * others if rest[1] else of_labelled[rest[2]] == pytest.approx(others), text
        elif "entirely" in lower or "mostly" in lower:
            main = max(of_labelled, key=of_labelled.get)
            assert of_labelled[main] >= (0.9 if "entirely" in lower else 0.6), text
            assert "almost" in lower or "mostly" in lower or of_labelled[main] == 1, text
            for amount, words in re.findall(rf"(some|little|shares? of) ({NAMES})", lower):
                assert (of_labelled[words] >= 0.05) == (amount == "some"), text
        else:
            assert labelled < 0.95, text


def halves(left, right, height=20, width=20, first=10):
    mask = np.full((height, width), right, np.uint8)
    mask[:, :first] = left
    return mask


def slots(mask, form, **options):
    return [statement.slots for statement in statements(facts(mask, **options)) if statement.form == form]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (10, "half trees, the rest water"),
        (13, "two thirds trees, the rest water"),
        (15, "three quarters trees, the rest water"),
        (18, "nine tenths trees, the rest water"),
    ],
)
def test_two_classes(columns, expected):
    assert slots(halves(2, 1, first=columns), "shares") == [{"shares": expected}]


def test_three_classes():
    mask = halves(2, 1, first=12)
    mask[:10, 12:] = 4  # 60 % trees, 20 % water, 20 % crops
    assert slots(mask, "shares") == [{"shares": "three fifths trees, a fifth crops and a fifth water"}]
    assert slots(mask, "percents") == [{"percents": "60% trees, 20% crops and 20% water"}]
    assert slots(mask, "within")[0] == {"almost": "all", "class": "crops", "are": "are", "part": "upper right quarter"}


def test_what_is_left_beside_one_class():
    mask = np.full((20, 20), 2, np.uint8)
    mask[0, :16] = np.repeat([1, 3, 4, 5], 4)  # 4 % in four classes
    assert slots(mask, "mostly") == [{"main": "almost entirely trees", "minor": "small shares of bare ground, built area, crops and water"}]
    mask[:3] = 1
    mask[0, :4] = 3
    assert slots(mask, "shares") == [{"shares": "four fifths trees and a tenth water"}]
    assert slots(mask, "mostly") == [{"main": "mostly trees", "minor": "some water, and a little bare ground"}]


def test_one_class():
    assert slots(np.full((9, 9), 1, np.uint8), "only") == [{"extent": "entirely", "class": "water"}]
    mask = np.full((30, 30), 1, np.uint8)
    mask[0, :3] = 2
    assert slots(mask, "only") == [{"extent": "almost entirely", "class": "water"}]


def test_values_with_the_same_words_are_one_class():
    words = {1: "forest", 2: "forest", 3: "water"}
    mask = halves(1, 2)
    mask[:, 15:] = 3
    assert slots(mask, "shares", words=words) == [{"shares": "three quarters forest, the rest water"}]


def test_where_much_is_not_labelled_no_share_is_told():
    mask = halves(0, 1)
    mask[12:, 2:8] = 2
    said = statements(facts(mask))
    assert [statement.form for statement in said] == ["presence", "there", "there"]
    assert said[0].slots == {"classes": "water and trees"}
    assert [statement.slots["part"] for statement in said[1:]] == ["right half", "lower left quarter"]


@pytest.mark.parametrize("mask", [None, np.zeros((9, 9), np.uint8), np.full((9, 9), 77, np.uint8)])
def test_nothing_is_said_of_nothing(mask):
    assert statements(Facts(modality="sar", shape=(9, 9), mask=mask, mask_words=WORDS)) == []


def test_the_class_other_counts_as_not_labelled():
    said = statements(facts(halves(1, 2), words={1: "Other", 2: "water"}))
    assert [statement.form for statement in said] == ["presence", "there"]


def test_of_a_hundred_rare_classes_none_is_named():
    mask = (np.arange(160 * 160) % 160).astype(np.uint8).reshape(160, 160)
    assert statements(facts(mask, words={value: f"kind {value}" for value in range(160)})) == []


def test_a_single_pixel_has_no_parts():
    assert [statement.form for statement in statements(facts(np.full((1, 1), 4, np.uint8)))] == ["only"]
