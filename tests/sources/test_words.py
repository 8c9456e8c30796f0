import numpy as np
import pytest

from geolangbind.sources.chips import Chip
from geolangbind.sources.words import chip_classes, labels_of

VIEWS = {"msi": {"sensor": "sentinel-2-l2a", "from": {"files": "{id}.tif"}}}
MASK = np.array([[1, 1, 1, 2], [1, 1, 3, 0], [9, 9, 9, 9]], np.uint8)  # of ten labelled pixels: five, one and one; 9 is nobody's


class Opened:
    classes = ()


def classes(card, mask=MASK, **keys):
    names = {1: "forest", 2: "river", 3: "road"}
    return chip_classes(card(views=VIEWS, mask_classes=names, **keys), Opened, Chip(np.zeros((1, 3, 4)), mask, (), None))


@pytest.mark.parametrize(
    ("share", "tasks", "found"),
    [
        (0.7, ["zero_shot"], ("forest",)),  # five of seven
        (0.72, ["zero_shot"], ()),
        (0.1, ["multi_label"], ("forest", "river", "road")),
        (0.2, ["multi_label"], ("forest",)),
    ],
)
def test_the_most_frequent_class_of_the_labelled_pixels(card, share, tasks, found):
    assert classes(card, label_from_mask=share, tasks=tasks) == found


def test_no_class_without_labelled_pixels_or_without_the_cards_word(card):
    assert classes(card, np.full((3, 4), 9, np.uint8), label_from_mask=0.1) == ()
    assert classes(card) == ()


def test_labels(card):
    made = card(views=VIEWS)
    assert labels_of(made, ("a",), {}) == {"scene_class": "a"}
    assert labels_of(made, ("a", "b"), {"natural": "water"}) == {"tags": {"natural": "water"}, "classes": ["a", "b"]}
    assert labels_of(card("many", views=VIEWS, tasks=["multi_label"]), ("a",), {}) == {"classes": ["a"]}
    assert labels_of(made, (), {}) == {}
