"""Edits keep the class and bring what is asked."""

from geolangbind.instruct.sources import edits
from geolangbind.interleaved.segments import Image


def keys(row):
    return [segment.source.key for segment in row.query if isinstance(segment, Image)]


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
    assert rows["a"].negative_keys[0] == '{"class":"harbour","modality":"rgb","traits":[["in-season","summer"]]}'
    assert "winter" in rows["d"].query[1].text
    assert rows["d"].target[0].source.key == "e"


def test_an_image_that_answers_a_query_is_known_as_right_as_whatever_it_comes(chip, corpus_of, wordings):
    """Against brute force: which images have the class and what the words ask for, targets and negatives of all rows alike."""
    ship, classes, seasons = [(0, 0, 4, 4, "ship")], ("harbour", "sea"), ("summer", "winter")
    chips = [
        chip(f"{name}-{season}-{count}-{number}", scene_class=name, season=season, boxes=ship * count)
        for name in classes for season in seasons for count in (0, 1) for number in (0, 1)
    ]  # fmt: skip
    rows = list(edits.rows(corpus_of(chips), wordings))
    shown = [(segments[0].source.key, key) for row in rows for segments, key in zip(row.negatives, row.negative_keys, strict=True)]
    shown += [(row.target[0].source.key, row.target_key) for row in rows]
    met = 0
    for row in rows:
        name, asked = keys(row)[0].split("-")[0], row.query[1].text
        (wanted,) = [word for word in (*seasons, "ship") if word in asked]
        for key, known in shown:
            of, season, count, _ = key.split("-")
            answers = of == name and wanted in (season, "ship" if count == "1" else "")
            assert (known in {row.target_key, *row.true}) == answers
            met += answers and key != row.target[0].source.key
    assert len(rows) == 16 and met > 16
