"""Pairs folders: what is written comes back, by any order of access, and what is damaged is named."""

import datetime as dt
import hashlib
import json
import pickle

import pytest

from geolangbind.errors import DataError
from geolangbind.instruct.row import keys_of_negatives, row_to_json, with_negatives
from geolangbind.instruct.rows import Pairs, RankingRow, Row, StoredImage, write_pairs
from geolangbind.interleaved.segments import Date, GeoBox, GeoPoint, Image, PixelBox, Text
from geolangbind.planet.write import write_planet


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards") / "planet"
    write_planet(folder, 2, seed=3, modalities=["rgb", "sar"], workers=1, progress=False)
    return folder


def stored(key="rgb-9-0000000", shards="planet"):
    return Image(StoredImage(shards, key))


def full_row():
    query = (stored(), Text("größe of"), PixelBox(1, 2, 3.5, 4), GeoPoint(-12.5, 170), GeoBox(179, -2, -179, 3), Date(dt.date(2020, 5, 1)))
    return Row(
        "r1",
        "Find it.",
        query,
        (Text("a ship"),),
        "A phrase.",
        ((Text("a tank"),), (stored(), PixelBox(0, 0, 1, 1))),
        "ship",
        frozenset("ba"),
        "size",
        ("tank", "a"),
    )


def rows(count):
    return [Row(f"r{number}", "", (stored(),), (Text(f"text {number} " + "é" * number),)) for number in range(count)]


def test_a_row_comes_back_whole(tmp_path, shards):
    write_pairs(tmp_path / "pairs", {"planet": shards}, {"one": ([full_row()], {"made": "by hand"})})
    pairs = Pairs.open(tmp_path / "pairs")
    (row,) = pairs.read("one", [0])
    assert row_to_json(row) == {
        "id": "r1",
        "instruction": "Find it.",
        "query": [
            {"image": "rgb-9-0000000", "shards": "planet"}, "größe of", {"box": [1.0, 2.0, 3.5, 4.0], "image": 0},
            {"point": [-12.5, 170.0]}, {"geobox": [179.0, -2.0, -179.0, 3.0]}, {"date": "2020-05-01"},
        ],
        "target": ["a ship"],
        "target_instruction": "A phrase.",
        "negatives": [["a tank"], [{"image": "rgb-9-0000000", "shards": "planet"}, {"box": [0.0, 0.0, 1.0, 1.0], "image": 0}]],
        "negative_keys": ["tank", "a"],
        "target_key": "ship",
        "true": ["a", "b"],
        "group": "size",
    }  # fmt: skip
    assert row.query[0].source == StoredImage("planet", "rgb-9-0000000")
    assert pairs.sources["one"].provenance == {"made": "by hand"}
    pairs.verify()


def test_rows_are_read_in_any_order_and_after_pickling(tmp_path):
    write_pairs(tmp_path, {"planet": "nowhere"}, {"one": (rows(9), {})})
    pairs = pickle.loads(pickle.dumps(Pairs.open(tmp_path)))  # noqa: S301 - just made
    assert len(pairs.sources["one"]) == 9
    assert [row.id for row in pairs.read("one", [8, 0, 3, 3])] == ["r8", "r0", "r3", "r3"]
    assert pairs.read("one", [7])[0].target == (Text("text 7 ééééééé"),)
    with pytest.raises(DataError, match="row 9 asked of source 'one', which has 9"):
        pairs.read("one", [9])
    with pytest.raises(DataError, match="no source 'two'; it has one"):
        pairs.read("two", [0])


def test_equal_targets_have_equal_keys_before_and_after_writing(tmp_path):
    made = [
        Row("a", "", (Text("q"),), (Image(tmp_path / "x" / "a.tif"), PixelBox(1, 2, 3, 4))),
        Row("b", "", (Text("q"),), (Image(tmp_path / "x" / "a.tif"), PixelBox(1.0, 2.0, 3.0, 4.0))),
        Row("c", "", (Text("q"),), (Text("other"),), true=frozenset(['["also"]'])),
    ]
    assert made[0].target_key == made[1].target_key != made[2].target_key == '["other"]'
    write_pairs(tmp_path / "pairs", {}, {"one": (made, {})})
    read = Pairs.open(tmp_path / "pairs").read("one", range(3))
    assert read[0].target_key == read[1].target_key != read[2].target_key == '["other"]'
    assert read[2].true == {'["also"]'}


def test_files_are_named_relative_to_the_folder_with_their_facts(tmp_path):
    image = Image(tmp_path / "images" / "a.tif", "sentinel-1-grd", ("VV", "VH"), "sigma0_db", 10, dt.date(2021, 2, 3))
    write_pairs(tmp_path / "pairs", {}, {"one": ([Row("a", "", (image, Image("https://x.org/b.tif")), (Text("t"),))], {})})
    raw = json.loads((tmp_path / "pairs" / "one.jsonl").read_text())
    facts = {"sensor": "sentinel-1-grd", "bands": ["VV", "VH"], "unit": "sigma0_db", "gsd_m": 10, "date": "2021-02-03"}
    assert raw["query"] == [{"image": "../images/a.tif", **facts}, {"image": "https://x.org/b.tif"}]
    read, address = Pairs.open(tmp_path / "pairs").read("one", [0])[0].query
    assert read.source.resolve() == image.source.resolve()
    assert (read.sensor, read.bands, read.unit, read.gsd_m, read.date) == (image.sensor, image.bands, image.unit, 10.0, image.date)
    assert address.source == "https://x.org/b.tif"


def test_rows_to_rank_are_kept_apart(tmp_path):
    ranking = RankingRow("q", "Which?", (Text("q"),), ((Text("a"),), (Text("b"),)), (1,), "One of.", "names")
    write_pairs(tmp_path, {}, {"rank": ([ranking], {}), "train": ([Row("a", "", (Text("q"),), (Text("t"),))], {})})
    pairs = Pairs.open(tmp_path)
    (row,) = pairs.read_rankings("rank", [0])
    assert row_to_json(row) == row_to_json(ranking)
    assert (row.candidates, row.relevant, row.candidate_instruction) == (((Text("a"),), (Text("b"),)), (1,), "One of.")
    with pytest.raises(DataError, match="rows to rank"):
        pairs.read("rank", [0])
    with pytest.raises(DataError, match="rows to train on"):
        pairs.read_rankings("train", [0])


def test_stored_images_are_found(tmp_path, shards):
    pairs = write_pairs(tmp_path / "pairs", {"planet": shards}, {"one": (rows(1), {})})
    assert json.loads((tmp_path / "pairs" / "pairs.json").read_text())["images"]["planet"].startswith("..")
    stream, number = pairs.locate(StoredImage("planet", "sar-9-0000001"))
    assert stream.modality == "sar"
    assert stream.read(number).key == "sar-9-0000001" == pairs.sample(StoredImage("planet", "sar-9-0000001")).key
    with pytest.raises(DataError, match=r"image 'x' of shards 'planet', but .* has no such sample"):
        pairs.locate(StoredImage("planet", "x"))
    with pytest.raises(DataError, match=r"image 'x' of shards 'moon', which pairs.json does not name"):
        pairs.locate(StoredImage("moon", "x"))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"id": "a"', "no JSON"),
        ("[1]", "a row is a JSON object"),
        ('{"id": "a", "instruction": "", "query": ["q"]}', "field 'target' is missing"),
        ('{"id": "a", "instruction": "", "query": ["q"], "target": ["t"], "weight": 1}', "unknown field 'weight'"),
        ('{"id": "", "instruction": "", "query": ["q"], "target": ["t"]}', "a row needs an id"),
        ('{"id": "a", "instruction": 5, "query": ["q"], "target": ["t"]}', "'instruction' is text, got 5"),
        ('{"id": "a", "instruction": "", "query": [], "target": ["t"]}', "'query': a sequence is a list of at least one segment"),
        ('{"id": "a", "instruction": "", "query": "q", "target": ["t"]}', "'query': a sequence is a list"),
        ('{"id": "a", "instruction": "", "query": ["q"], "target": [{"bild": 1}]}', "'target': segment .* one is text, or one of"),
        ('{"id": "a", "instruction": "", "query": ["q"], "target": [{"box": [0, 0, 1, 1]}]}', "a box names image 0, but"),
        ('{"id": "a", "instruction": "", "query": ["q"], "target": [{"point": [91, 0]}]}', "latitude -90..90"),
        ('{"id": "a", "instruction": "", "query": ["q"], "target": [{"point": [NaN, 0]}]}', "NaN is no JSON number"),
        ('{"id": "a", "instruction": "", "query": ["q"], "target": [{"point": [1, true]}]}', "2 numbers are needed"),
        ('{"id": "a", "instruction": "", "query": ["q"], "target": [{"date": "1.5.2020"}]}', "Invalid isoformat"),
        ('{"id": "a", "instruction": "", "query": ["q"], "target": [{"image": "k", "shards": "s", "gsd_m": 3}]}', "unknown field 'gsd_m'"),
        ('{"id": "a", "instruction": "", "query": ["q"], "target": [{"image": "k.tif", "unit": "feet"}]}', "unknown unit 'feet'"),
        ('{"id": "a", "instruction": "", "query": ["q"], "target": ["t"], "true": [1]}', "'true' is a list"),
        (
            '{"id": "a", "instruction": "", "query": ["q"], "target": ["t"], "negatives": [["x"], ["y"]], "negative_keys": ["k"]}',
            "row a has 2 negatives, but 1 negative_keys; give one key per negative, or none",
        ),
        ('{"id": "a", "instruction": "", "query": ["q"], "target": ["t"], "negative_keys": ["k"]}', "row a has 0 negatives, but 1"),
        ('{"id": "a", "instruction": "", "query": ["q"], "candidates": [["a"]], "relevant": []}', "'relevant' is at least one number"),
        ('{"id": "a", "instruction": "", "query": ["q"], "candidates": [["a"]], "relevant": [1]}', "there are 1 candidates"),
        ('{"id": "a", "instruction": "", "query": ["q"], "candidates": [["a"]], "relevant": [true]}', "'relevant' is a list"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_told_with_file_and_line(tmp_path, line, told):
    good = '{"id": "z", "instruction": "", "query": ["q"], "target": ["t"]}'
    data = f"{good}\n{line}\n".encode()
    (tmp_path / "one.jsonl").write_bytes(data)
    entry = {"file": "one.jsonl", "rows": 2, "sha256": hashlib.sha256(data).hexdigest(), "provenance": {}}
    document = {"format": "geolangbind-pairs", "format_version": 1, "images": {}, "sources": {"one": entry}}
    (tmp_path / "pairs.json").write_text(json.dumps(document))
    pairs = Pairs.open(tmp_path)
    assert pairs.read("one", [0])[0].id == "z"
    with pytest.raises(DataError, match=rf"one.jsonl:2: .*{told}"):
        pairs.read("one", [1])
    with pytest.raises(DataError, match=r"one.jsonl:2"):
        pairs.verify()


def test_files_that_are_gone_are_told(tmp_path):
    (tmp_path / "there.tif").touch()
    (tmp_path / "folder").mkdir()
    files = ("there.tif", "folder", "https://example.org/far.tif", "gone.tif")
    images = [Image(name if "://" in name else tmp_path / name, sensor="aerial-rgb") for name in files]
    made = [Row(f"r{number}", "", (Text("a"),), (Text("b"),), negatives=((image,),)) for number, image in enumerate(images)]
    write_pairs(tmp_path / "some", {}, {"one": (made[:3], {})}).verify()
    with pytest.raises(DataError, match=r"source 'one', row r3: .*gone\.tif is missing; put it back"):
        write_pairs(tmp_path / "all", {}, {"one": (made, {})}).verify()


def test_damage_is_told(tmp_path):
    write_pairs(tmp_path, {"planet": "nowhere"}, {"one": (rows(2), {})})
    path = tmp_path / "one.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"text 1", b"text 2"))
    with pytest.raises(DataError, match="its hash differs"):
        Pairs.open(tmp_path).verify()
    path.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"has 1 whole lines, pairs.json says 2"):
        Pairs.open(tmp_path).read("one", [0])
    path.unlink()
    with pytest.raises(DataError, match=r"is listed in .* but missing"):
        Pairs.open(tmp_path)
    (tmp_path / "pairs.json").write_text('{"format": "geolangbind-pairs", "format_version": 2}')
    with pytest.raises(DataError, match="version 2; this release reads geolangbind-pairs 1"):
        Pairs.open(tmp_path)
    (tmp_path / "pairs.json").write_text("{}")
    with pytest.raises(DataError, match="is damaged"):
        Pairs.open(tmp_path)
    (tmp_path / "pairs.json").unlink()
    with pytest.raises(DataError, match=r"has no pairs.json; make one with `geolangbind pairs build`"):
        Pairs.open(tmp_path)


def test_an_index_must_not_point_outside_its_folder(tmp_path):
    entry = {"file": "../one.jsonl", "rows": 1, "sha256": "", "provenance": {}}
    document = {"format": "geolangbind-pairs", "format_version": 1, "images": {}, "sources": {"one": entry}}
    (tmp_path / "pairs.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="plain file name"):
        Pairs.open(tmp_path)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ([], "source 'one' has no rows"),
        ([*rows(2), rows(1)[0]], "id 'r0' is used twice"),
        ([*rows(1), RankingRow("x", "", (Text("q"),), ((Text("a"),),), (0,))], "not both"),
        ([Row("a", "", (stored(shards="moon"),), (Text("t"),))], "shards 'moon' are not among planet"),
        ([Row("a", "", (Image([[1]]),), (Text("t"),))], "write pixels to a file first"),
        ([Row("a", "", (Image(StoredImage("planet", "k"), gsd_m=3),), (Text("t"),))], "has its own gsd_m"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, made, told):
    with pytest.raises(DataError, match=told):
        write_pairs(tmp_path, {"planet": "nowhere"}, {"one": (made, {})})
    assert list(tmp_path.iterdir()) == []


def test_pairs_are_not_written_over(tmp_path):
    write_pairs(tmp_path, {"planet": "nowhere"}, {"one": (rows(1), {})})
    with pytest.raises(DataError, match="holds pairs already"):
        write_pairs(tmp_path, {"planet": "nowhere"}, {"one": (rows(2), {})})
    with pytest.raises(DataError, match="'a/b': sources and folders of shards are named with letters"):
        write_pairs(tmp_path / "new", {}, {"a/b": (rows(1), {})})


def test_links_to_folders_do_not_mislead(tmp_path, shards):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    (tmp_path / "blob").write_bytes(b"")
    (tmp_path / "a.png").symlink_to(tmp_path / "blob")
    row = Row("a", "", (stored(), Image(tmp_path / "a.png")), (Text("t"),))
    pairs = write_pairs(tmp_path / "link" / "pairs", {"planet": shards}, {"one": ([row], {})})
    assert pairs.sample(StoredImage("planet", "rgb-9-0000000")).key == "rgb-9-0000000"
    source = pairs.read("one", [0])[0].query[1].source
    assert source.exists()
    assert source.name == "a.png"


def test_fewer_negatives_keep_their_keys():
    assert with_negatives(full_row(), 1).negatives == ((Text("a tank"),),) and keys_of_negatives(with_negatives(full_row(), 1)) == ("tank",)
    plain = Row("a", "", (Text("q"),), (Text("t"),), negatives=((Text("x"),), (Text("y"),)))
    assert keys_of_negatives(plain) == ('["x"]', '["y"]') and keys_of_negatives(with_negatives(plain, 1)) == ('["x"]',)
    assert keys_of_negatives(with_negatives(full_row(), 0)) == ()
