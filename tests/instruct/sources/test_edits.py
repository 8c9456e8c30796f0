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
    assert "winter" in rows["d"].query[1].text
    assert rows["d"].target[0].source.key == "e"
