"""Rows of the kinds that need boxes, dates or listed classes, against facts written down by hand."""

import json

from geolangbind.instruct.segments_json import StoredImage, key_of
from geolangbind.instruct.sources import boxes, captions, dates, edits, labels, places, questions
from geolangbind.interleaved.segments import Image, PixelBox, Text

HARBOUR = [(0, 0, 4, 4, "ship"), (5, 0, 9, 4, "ship"), (0, 8, 6, 14, "storage tank")]


def keys(row):
    return [segment.source.key for segment in row.query if isinstance(segment, Image)]


def stored(key):
    return key_of([Image(StoredImage("chips", key))])


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


def test_all_words_of_all_classes_are_right(chip, corpus_of, wordings):
    corpus = corpus_of([chip("a", classes=["forest", "lake"])], classes={"forest": ["forest", "woodland"], "lake": ["lake"]})
    (row,) = labels.rows(corpus, wordings)
    assert {row.target[0].text} | {json.loads(key)[0] for key in row.true} == {"forest", "woodland", "lake"}


def test_images_with_the_same_sentence_are_right(chip, corpus_of, wordings):
    corpus = corpus_of([chip("a", captions=("a wood",)), chip("b", captions=("a wood",)), chip("c", captions=("a lake",))])
    first, second, third = captions.to_image(corpus, wordings)
    assert (first.query, first.true) == ((Text("a wood"),), {stored("b")})
    assert second.true == {stored("a")}
    assert third.true == frozenset()


def test_places_have_scenes_of_the_class_elsewhere_as_negatives(chip, corpus_of, wordings):
    def at(key, lon, name):
        return chip(key, scene_class=name, bbox=(lon, 0, lon + 2, 2))

    corpus = corpus_of([at("x-1", 10, "forest"), at("y-1", 10.5, "forest"), at("x-2", 30, "forest"), at("x-3", 50, "sea"), chip("x-4")])
    rows = {keys(row)[0]: row for row in places.to_point(corpus, wordings)}
    assert rows.keys() == {"x-1", "y-1", "x-2", "x-3"}
    assert (rows["x-1"].target[0].lat, rows["x-1"].target[0].lon) == (1, 11)
    assert rows["x-1"].true == {'[{"point":[1.0,11.5]}]'}
    assert [negative[0].lon for negative in rows["x-1"].negatives] == [31]
    assert rows["x-3"].negatives == ()
    found = {row.target[0].source.key: row for row in places.to_image(corpus, wordings)}
    assert found["x-1"].query[1] == Text("forest")
    assert found["x-1"].true == {stored("y-1")}
    assert [negative[0].source.key for negative in found["x-1"].negatives] == ["x-2"]


def test_edits_keep_the_class_and_bring_what_is_asked(chip, corpus_of, wordings):
    ship = [(0, 0, 4, 4, "ship")]
    corpus = corpus_of(
        [
            chip("a", scene_class="harbour", season="summer"),
            chip("b", scene_class="harbour", season="summer", boxes=ship),
            chip("c", scene_class="harbour", season="summer", boxes=[*ship, (6, 6, 9, 9, "ship")]),
            chip("d", scene_class="sea", season="summer", boxes=ship),
            chip("e", scene_class="sea", season="winter", boxes=ship),
        ]
    )
    rows = {keys(row)[0]: row for row in edits.rows(corpus, wordings)}
    assert rows.keys() == {"a", "d", "e"}  # b and c lack nothing that another harbour has
    assert "a ship" in rows["a"].query[1].text
    assert rows["a"].target[0].source.key in ("b", "c")
    assert rows["a"].target_key == '{"class":"harbour","modality":"rgb","traits":[["in-season","summer"],["with-thing","ship"]]}'
    assert rows["a"].true == frozenset()  # b and c are one target
    wrong = [negative[0].source.key for negative in rows["a"].negatives]
    assert wrong[0] == "a"
    assert wrong[1] in ("d", "e")
    assert "winter" in rows["d"].query[1].text
    assert rows["d"].target[0].source.key == "e"


def test_dated_pairs_tell_what_became_of_a_place(chip, corpus_of, wordings):
    corpus = corpus_of(
        [
            chip("t2-1", scene_class="residential area", date="2021-06-01"),
            chip("t1-1", scene_class="forest", date="2019-06-01"),
            chip("t1-2", boxes=[(0, 0, 4, 4, "ship")], date="2019-06-01"),
            chip("t2-2", boxes=[(0, 0, 4, 4, "ship"), (5, 5, 8, 8, "ship"), (9, 9, 12, 12, "ship")], date="2021-06-01"),
            chip("t1-3", scene_class="sea", date="2019-06-01"),
            chip("t2-3", scene_class="sea", date="2021-06-01"),
            chip("t1-4", scene_class="sea", date="2019-06-01"),
            chip("t2-4", scene_class="beach", date="2021-06-01", changes=["the tide went out"]),
            chip("t1-5", scene_class="sea", date="2019-06-01"),
            chip("t2-5", scene_class="sea", date="2019-06-01"),
            chip("t1-6", date="2019-06-01"),
            chip("t2-6", date="2021-06-01"),
        ]
    )
    rows = {tuple(keys(row)): row for row in dates.rows(corpus, wordings)}
    assert rows.keys() == {("t1-1", "t2-1"), ("t1-2", "t2-2"), ("t1-3", "t2-3"), ("t1-4", "t2-4")}
    built = rows["t1-1", "t2-1"]
    right = {built.target[0].text} | {json.loads(key)[0] for key in built.true}
    assert right == {"forest became a residential area", "a residential area where forest was"}
    assert [negative[0].text for negative in built.negatives] == ["a residential area became forest", "nothing changed"]
    assert rows["t1-2", "t2-2"].target == (Text("two ships appeared"),)
    assert [negative[0].text for negative in rows["t1-2", "t2-2"].negatives] == ["two ships disappeared", "nothing changed"]
    assert rows["t1-3", "t2-3"].target == (Text("nothing changed"),)
    assert rows["t1-3", "t2-3"].negatives == ()
    assert rows["t1-4", "t2-4"].target == (Text("the tide went out"),)
