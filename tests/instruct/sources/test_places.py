"""Places, their images, and scenes of the same class elsewhere."""

from geolangbind.instruct.segments_json import StoredImage, key_of
from geolangbind.instruct.sources import places
from geolangbind.interleaved.segments import Image, Text


def keys(row):
    return [segment.source.key for segment in row.query if isinstance(segment, Image)]


def stored(key):
    return key_of([Image(StoredImage("chips", key))])


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
