"""What became of a place."""

import json

from geolangbind.instruct.sources import dates
from geolangbind.interleaved.segments import Image, Text


def keys(row):
    return [segment.source.key for segment in row.query if isinstance(segment, Image)]


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
