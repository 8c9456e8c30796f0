"""Rows in plain words."""

import datetime as dt

from geolangbind.instruct.rows import RankingRow, Row, StoredImage, write_pairs
from geolangbind.instruct.show import in_words, render_examples
from geolangbind.interleaved.segments import Date, GeoBox, GeoPoint, Image, PixelBox, Text


def test_every_segment_has_words():
    sequence = (
        Image(StoredImage("planet", "rgb-1")), Image("a.tif"), Text("[red] ship in"), PixelBox(1, 2.5, 3, 4), GeoPoint(-1.5, 20),
        GeoBox(1, 2, 3, 4), Date(dt.date(2020, 5, 1)),
    )  # fmt: skip
    told = "<rgb-1> <a.tif> [red] ship in <box 1 2.5 3 4> <-1.5000 20.0000> <1.0000 2.0000 3.0000 4.0000> <2020-05-01>"
    assert in_words(sequence) == told


def test_examples_are_spread_over_a_source(tmp_path):
    ranking = [RankingRow(f"q{n}", "Which?", (Text(f"query {n}"),), ((Text("wrong"),), (Text(f"right {n}"),)), (1,)) for n in range(9)]
    single = [Row("a", "Find [it].", (Text("q"),), (Text("t"),), negatives=((Text("n"),),))]
    lines = list(render_examples(write_pairs(tmp_path, {}, {"rank": (ranking, {}), "one": (single, {})}), 3))
    assert [line.split("query ")[1] for line in lines if "query" in line] == ["0", "3", "6"]
    assert [line.split()[1:3] for line in lines if "right" in line] == [["right", "0"], ["right", "3"], ["right", "6"]]
    assert any(r"Find \[it]." in line for line in lines)  # escaped, or Rich would take it for markup
