"""Counts, places, sides and sizes read back out of captions and compared with the boxes."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geolangbind.captions import Facts, write_captions
from geolangbind.captions.boxes import statements
from geolangbind.data.sample import Box

PLURALS = {"car": "cars", "person": "people", "bus": "buses", "oil tank": "oil tanks", "aircraft": "aircraft", "ferry": "ferries"}
ALL_WORDS = "|".join(sorted({*PLURALS, *PLURALS.values()}, key=len, reverse=True))
COUNTED = re.compile(rf"\b(an?|[a-z]+|\d+) ({ALL_WORDS})\b", re.IGNORECASE)
SINGULAR = {many: one for one, many in PLURALS.items()} | {one: one for one in PLURALS}
WIDTH, HEIGHT = 90, 60
WHERE = {
    "in the upper left": (0, 0), "at the top": (0, None), "in the upper right": (0, 2), "on the left": (None, 0), "in the middle": (1, 1),
    "on the right": (None, 2), "in the lower left": (2, 0), "at the bottom": (2, None), "in the lower right": (2, 2),
}  # fmt: skip


@st.composite
def boxes(draw):
    x0, y0 = draw(st.integers(0, WIDTH - 2)), draw(st.integers(0, HEIGHT - 2))
    x1, y1 = draw(st.integers(x0 + 1, min(x0 + 40, WIDTH))), draw(st.integers(y0 + 1, min(y0 + 25, HEIGHT)))
    return Box((x0, y0, x1, y1), draw(st.sampled_from(list(PLURALS))))


def facts(*found, gsd_m=None, shape=(HEIGHT, WIDTH)):
    return Facts(modality="rgb", shape=shape, boxes=found, gsd_m=gsd_m)


def kinds(found):
    return {words: [box.xyxy for box in found if box.text == words] for words in dict.fromkeys(box.text for box in found)}


def inside(xyxy, where):
    """Whether the centre lies in the named third or ninth of the image."""
    x0, y0, x1, y1 = xyxy
    row, column = WHERE[where]
    middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
    across = column is None or column * WIDTH / 3 <= middle_x < (column + 1) * WIDTH / 3
    return across and (row is None or row * HEIGHT / 3 <= middle_y < (row + 1) * HEIGHT / 3)


def group(text, by_kind, count_of):
    """The kind that "three cars" names, checked to be as many."""
    match = COUNTED.search(text)
    kind = SINGULAR[match[2].lower()]
    assert count_of(match[1]) == len(by_kind[kind]), text
    return by_kind[kind]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(boxes(), min_size=1, max_size=14), st.integers(0, 999), st.sampled_from([None, 0.3, 10.0]))
def test_every_sentence_is_true(well_formed, count_of, found, key, gsd_m):
    by_kind = kinds(found)
    for caption in write_captions("boxes", facts(*found, gsd_m=gsd_m), str(key), 16):
        text = caption.text
        well_formed(text)
        for words in re.findall(rf"\b({ALL_WORDS})\b", text, re.IGNORECASE):
            assert SINGULAR[words.lower()] in by_kind, text
        places = [where for where in WHERE if where in text]
        beside = re.search(
            r"to the (left|right) of ((?:an?|[a-z]+|\d+) .*?)(?: there (?:is|are) (.*))?(?: in this|\.)", text, re.IGNORECASE
        )
        further = re.search(r"further (up|down) than (.*)\.", text)
        if beside:
            first, second = (beside[3], beside[2]) if beside[3] else (text[: beside.start()], beside[2])
            ones, others = group(first, by_kind, count_of), group(second, by_kind, count_of)
            if beside[1] == "left":
                assert max(box[2] for box in ones) <= min(box[0] for box in others), text
            else:
                assert min(box[0] for box in ones) >= max(box[2] for box in others), text
        elif further:
            ones, others = group(text[: further.start()], by_kind, count_of), group(further[2], by_kind, count_of)
            if further[1] == "up":
                assert max(box[3] for box in ones) <= min(box[1] for box in others), text
            else:
                assert min(box[1] for box in ones) >= max(box[3] for box in others), text
        elif places:
            assert len(places) == 1, text
            ones = group(text.replace("of the ", "of "), by_kind, count_of)
            part = re.search(r"(\w+) of (?:the|them)\b", text)
            told = count_of(part[1]) if part else len(ones)
            assert sum(inside(box, places[0]) for box in ones) == told, text
        elif "metres" in text:
            ones = group(text, by_kind, count_of)
            lengths = [float(number) for number in re.findall(r"\d+(?:\.\d+)?(?= metres| by)", text)]
            true = [max(max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in ones) * gsd_m]
            if len(lengths) == 2:
                ((x0, y0, x1, y1),) = ones
                true = [(x1 - x0) * gsd_m, (y1 - y0) * gsd_m]
            assert lengths == pytest.approx(true, rel=0.051), text
        else:
            told = {SINGULAR[words.lower()]: count_of(number) for number, words in COUNTED.findall(text)}
            assert all(len(by_kind[words]) == count for words, count in told.items()), text
            assert len(told) == min(5, len(by_kind)) and (" and more" in text) == (len(by_kind) > 5), text


def test_things_are_counted_the_most_frequent_first():
    found = [
        Box((1, 1, 2, 2), "bus"),
        *[Box((i, 1, i + 2, 3), "car") for i in range(12)],
        *[Box((i, 9, i + 2, 11), "person") for i in range(3)],
    ]
    assert statements(facts(*found))[0].slots == {"things": "12 cars, three people and a bus", "are": "are"}


@pytest.mark.parametrize(("where", "centre"), [(where, (row, column)) for where, (row, column) in WHERE.items()])
def test_places(where, centre):
    y, x = (10 + 20 * (1 if centre[0] is None else centre[0])), (15 + 30 * (1 if centre[1] is None else centre[1]))
    told = [statement.slots.get("where") for statement in statements(facts(Box((x - 2, y - 2, x + 2, y + 2), "car")))]
    assert told == [None, where]


def test_a_crowd_is_told_with_its_number():
    left = [Box((2, y, 4, y + 2), "car") for y in (2, 25, 50)]
    right = [Box((80, y, 82, y + 2), "car") for y in (2, 50)]
    (crowd,) = [statement for statement in statements(facts(*left, *right)) if statement.form == "some_where"]
    assert crowd.slots == {"some": "three", "count": "five", "things": "cars", "where": "on the left", "are": "are"}


def test_a_thing_longer_than_half_the_image_has_no_place():
    assert [statement.form for statement in statements(facts(Box((0, 0, 46, 10), "pier")))] == ["all"]


def test_boxes_that_overlap_along_both_axes_are_not_beside_each_other():
    forms = [statement.form for statement in statements(facts(Box((0, 0, 30, 20), "car"), Box((29, 19, 50, 40), "bus")))]
    assert not {"beside", "along"} & set(forms)


def test_sizes_need_a_scale_a_whole_thing_and_a_few_pixels():
    assert "size" not in [statement.form for statement in statements(facts(Box((10, 10, 30, 20), "ship")))]
    assert "size" not in [statement.form for statement in statements(facts(Box((0, 10, 30, 20), "ship"), gsd_m=10))]
    assert "size" not in [statement.form for statement in statements(facts(Box((10, 10, 30, 13), "ship"), gsd_m=10))]
    (size,) = [statement for statement in statements(facts(Box((10, 10, 37, 25), "ship"), gsd_m=10)) if statement.form == "size"]
    assert size.slots == {"things": "a ship", "width": "270", "height": "150"}


def test_what_is_no_region_is_passed_over():
    nan, infinite = float("nan"), float("inf")
    none = [(5, 5, 5, 9), (9, 9, 3, 12), (-9, 2, 0, 9), (200, 2, 210, 9), (nan, 0, 9, 9), (0, 0, infinite, 9)]
    assert statements(facts(*(Box(xyxy, "car") for xyxy in none), Box((1, 1, 9, 9), " "))) == []


def test_articles_and_spellings_of_the_same_words_are_one_kind():
    found = [Box((1, 1, 5, 5), "a ship"), Box((9, 9, 14, 14), "Ship"), Box((20, 20, 24, 24), "ship.")]
    assert statements(facts(*found))[0].slots["things"] == "three ships"
