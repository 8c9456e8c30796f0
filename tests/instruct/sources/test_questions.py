"""Questions and answers against facts written down by hand."""

import json

from geolangbind.instruct.sources import questions
from geolangbind.interleaved.segments import Image, Text

HARBOUR = [(0, 0, 4, 4, "ship"), (5, 0, 9, 4, "ship"), (0, 8, 6, 14, "storage tank")]


def keys(row):
    return [segment.source.key for segment in row.query if isinstance(segment, Image)]


def test_questions_about_boxes(chip, corpus_of, wordings):
    samples = [chip(f"a-{n}", boxes=HARBOUR) for n in range(8)] + [
        chip("b-0", boxes=[(0, 0, 2, 2, "crane")]),
        chip("b-1", boxes=[(0, 0, 2, 2, "crane")]),
    ]
    rows = [row for row in questions.rows(corpus_of(samples), wordings) if keys(row)[0].startswith("a")]
    assert {row.group for row in rows} == {"presence", "count", "comparison"}
    for row in rows:
        asked, answer = row.query[1].text, row.target[0].text
        wrong = [negative[0].text for negative in row.negatives]
        if row.group == "presence":
            assert answer == ("no" if "a crane" in asked else "yes")
            assert "a ship" in asked or "a storage tank" in asked or "a crane" in asked
            assert wrong == ["yes" if answer == "no" else "no"]
        elif row.group == "count":
            assert (answer, wrong) == (("two", ["one", "three", "four"]) if "ships" in asked else ("one", ["two", "three"]))
        else:
            assert "ships" in asked
            assert "storage tanks" in asked
            assert (answer, wrong) == ("ships", ["storage tanks"])
    assert {row.target[0].text for row in rows if row.group == "presence"} == {"yes", "no"}


def test_questions_about_classes(chip, corpus_of, wordings):
    one = corpus_of(
        [chip("a", scene_class="forest", season="winter"), chip("b", scene_class="sea", season="summer")],
        scene_class={"forest": ["forest", "woodland"]},
    )
    by_group = {row.group: row for row in questions.rows(one, wordings) if keys(row) == ["a"]}
    assert by_group["season"].target == (Text("winter"),)
    assert [negative[0].text for negative in by_group["season"].negatives] == ["summer"]
    right = {by_group["class"].target[0].text} | {json.loads(key)[0] for key in by_group["class"].true}
    assert right == {"forest", "woodland"}
    assert by_group["class"].negatives == ((Text("sea"),),)


def test_listed_classes_say_what_is_there_and_what_is_not(chip, corpus_of, wordings):
    samples = [chip(f"a-{n}", classes=["forest", "lake"]) for n in range(8)] + [chip("b", classes=["road"])]
    rows = [row for row in questions.rows(corpus_of(samples), wordings) if keys(row) != ["b"]]
    assert {row.group for row in rows} == {"presence"}
    for row in rows:
        assert row.target[0].text == ("no" if "a road" in row.query[1].text else "yes")
