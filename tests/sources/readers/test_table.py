import json

import pytest

from geolangbind.errors import DataError, SettingsError
from geolangbind.sources.card import Place
from geolangbind.sources.readers.table import records

KARPATHY = {
    "dataset": "rsicd",
    "images": [
        {"filename": "airport_1.jpg", "split": "train", "sentences": [{"raw": "many planes ."}, {"raw": "An airport."}]},
        {"filename": "00623.jpg", "split": "val", "sentences": [{"raw": "a river"}]},
    ],
}  # fmt: skip


def read(root, spec, **options):
    return records(root, Place("table", spec, options), None, None)


def test_captions_of_a_retrieval_set(tmp_path):
    (tmp_path / "dataset_rsicd.json").write_text(json.dumps(KARPATHY))
    found = read(tmp_path, "dataset_rsicd.json", items="images", image="RSICD_images/{filename}", captions="sentences[].raw", split="split")
    assert [(r.place, r.split, [c.text for c in r.captions]) for r in found] == [
        ("RSICD_images/airport_1", "train", ["many planes .", "An airport."]),
        ("RSICD_images/00623", "validation", ["a river"]),
    ]
    assert found[0].image == tmp_path / "RSICD_images/airport_1.jpg" and found[0].captions[0].source == "given:dataset_rsicd.json"


def test_rows_of_one_image_add_up(tmp_path):
    rows = ["filepath,title,kind", 'a.jpg,"A ship, at sea",ship', "b.jpg,A port,port", "a.jpg,Two boats,boat", "a.jpg,a ship at sea,ship"]
    (tmp_path / "all.csv").write_text("\n".join(rows))
    first, second = read(tmp_path, "all.csv", image="{filepath}", captions="title", **{"class": "kind"})
    assert [c.text for c in first.captions] == ["A ship, at sea", "Two boats"]  # the last one differs by a comma only
    assert (first.classes, second.classes) == (("ship", "boat"), ("port",))


def test_json_lines_tags_and_rows_that_are_wanted(tmp_path):
    lines = [
        {"id": 1, "path": {"name": "x"}, "set": "a", "osm": {"building": "yes", "name": "Town hall"}, "labels": ["one", "two"]},
        {"id": 2, "path": {"name": "y"}, "set": "b", "osm": "surface=asphalt; lanes=2", "labels": []},
    ]
    (tmp_path / "meta-test.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    found = read(tmp_path, "meta-{split}.jsonl", image="i/{path.name}.tif", place="p{id}", tags="osm", **{"class": "labels"})
    assert [(r.place, r.split, r.classes, dict(r.tags)) for r in found] == [
        ("p1", "test", ("one", "two"), {"building": "yes", "name": "Town hall"}),
        ("p2", "test", (), {"surface": "asphalt", "lanes": "2"}),
    ]
    assert [r.place for r in read(tmp_path, "meta-{split}.jsonl", image="i/{path.name}.tif", where={"set": "b"})] == ["i/y"]


def test_tables_without_a_first_line_and_one_document_per_sample(tmp_path):
    (tmp_path / "list.tsv").write_text("a.jpg\tforest\nb.jpg\triver\n")
    found = read(tmp_path, "list.tsv", columns=["file", "kind"], image="img/{file}", **{"class": "kind"})
    assert [(r.image.name, r.classes) for r in found] == [("a.jpg", ("forest",)), ("b.jpg", ("river",))]
    (tmp_path / "p1").mkdir()
    (tmp_path / "p1/p1_meta.json").write_text(json.dumps({"labels": ["Pastures", "Sea"], "date": "2017"}))
    (one,) = read(tmp_path, "{id}/{id}_meta.json", image="{id}/", **{"class": "labels"})
    assert (one.place, one.image, one.classes) == ("p1", tmp_path / "p1", ("Pastures", "Sea"))


@pytest.mark.parametrize(
    ("name", "text", "options", "message"),
    [
        ("t.csv", "a,b\n1,2\n", {"image": "{file}"}, r"t\.csv, row 1: .*needs file"),
        ("t.csv", "file\n../../x.jpg\n", {"image": "{file}"}, r"row 1: .*leads out"),
        ("t.csv", "file\nx.jpg\n", {"image": "{file}", "captions": "title"}, "has no field 'title'; it has file"),
        ("t.json", "{", {"image": "{file}"}, r"t\.json: is no table of the kind its name says"),
        ("t.json", "3", {"image": "{file}"}, "is no table"),
        ("t.json", "[" * 100_000, {"image": "{file}"}, "is no table"),
        ("t.json", '{"a": []}', {"image": "{file}", "items": "b"}, "has no field 'b'"),
        ("t.jsonl", '{"file": "x"}\n{', {"image": "{file}"}, "is no table"),
        ("t.csv", "file\nx\0.jpg\n", {"image": "{file}"}, "row 1: .*leads out|is no table"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path, name, text, options, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path, name, **options)


def test_unknown_options(tmp_path):
    with pytest.raises(SettingsError, match=r"no option 'caption'.*did you mean captions"):
        read(tmp_path, "t.csv", caption="title")
