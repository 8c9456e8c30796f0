"""Boxes and their words, among those of one image."""

from geolangbind.instruct.sources import boxes
from geolangbind.interleaved.segments import PixelBox, Text

HARBOUR = [(0, 0, 4, 4, "ship"), (5, 0, 9, 4, "ship"), (0, 8, 6, 14, "storage tank")]


def test_boxes_find_their_words_among_those_of_the_image(chip, corpus_of, wordings):
    rows = list(boxes.to_text(corpus_of([chip("a", boxes=HARBOUR)]), wordings))
    assert [(row.query[1], row.target[0].text) for row in rows] == [
        (PixelBox(0, 0, 4, 4), "ship"),
        (PixelBox(5, 0, 9, 4), "ship"),
        (PixelBox(0, 8, 6, 14), "storage tank"),
    ]
    assert [[negative[0].text for negative in row.negatives] for row in rows] == [["storage tank"], ["storage tank"], ["ship"]]


def test_words_of_several_boxes_refer_to_none(chip, corpus_of, wordings):
    (row,) = boxes.to_region(corpus_of([chip("a", boxes=HARBOUR)]), wordings)
    assert row.query[1] == Text("storage tank")
    assert row.target[1] == PixelBox(0, 8, 6, 14)
    assert {negative[1] for negative in row.negatives} == {PixelBox(0, 0, 4, 4), PixelBox(5, 0, 9, 4)}
