"""Files of MMEB rows to pairs folders and back."""

import json
import sys

import pytest
from PIL import Image as Pillow

from geolangbind.errors import DataError, SettingsError
from geolangbind.instruct.build import build_pairs
from geolangbind.instruct.mmeb_files import export_mmeb, import_mmeb
from geolangbind.instruct.rows import Row, StoredImage, write_pairs
from geolangbind.interleaved.segments import Image, PixelBox, Text

TRAINING = [
    {
        "qry": "<|image_1|>\nName it.", "qry_image_path": f"img/{n}.png", "pos_text": f"größe {n}", "pos_image_path": "", "neg_text": "",
        "neg_image_path": "",
    }
    for n in range(3)
]  # fmt: skip
EVALUATION = [
    {
        "qry_inst": "Find it.", "qry_text": "a ship", "qry_img_path": "", "tgt_inst": "", "tgt_text": ["<|image_1|>", "a"],
        "tgt_img_path": ["img/1.png", ""],
    }
]  # fmt: skip


def written(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("rows", [TRAINING, EVALUATION])
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_file_comes_out_as_it_went_in(tmp_path, rows, kind):
    file = written(tmp_path / "mmeb" / "MSCOCO i2t.jsonl", rows)
    pairs = import_mmeb(file, tmp_path / "pairs")
    assert list(pairs.sources) == ["MSCOCO-i2t"]
    out = tmp_path / "mmeb" / f"again.{kind}"
    assert export_mmeb(pairs, out).rows == len(rows)
    if kind == "parquet":
        again = export_mmeb(import_mmeb(out, tmp_path / "second"), tmp_path / "mmeb" / "third.jsonl")
        assert (again.rows, again.left_out, again.shortened) == (len(rows), {}, 0)
        out = tmp_path / "mmeb" / "third.jsonl"
    assert lines(out) == rows


def test_paths_begin_where_one_says_and_sensors_are_given(tmp_path):
    pairs = import_mmeb(written(tmp_path / "rows.jsonl", TRAINING), tmp_path / "pairs", tmp_path / "elsewhere", "sentinel-2-tci", "mine")
    image = pairs.read("mine", [2])[0].query[0]
    assert image.source.resolve() == tmp_path / "elsewhere" / "img" / "2.png"
    assert image.sensor == "sentinel-2-tci"


def test_pictures_of_shards_are_written_beside_the_file(planet, tmp_path):
    pairs, _ = build_pairs([planet], tmp_path / "pairs", ["labels"])
    done = export_mmeb(pairs, tmp_path / "out" / "labels.jsonl")
    assert (done.rows, done.shortened) == (24, 0)
    assert done.left_out == {"images of sentinel-1-grd are no 8-bit pictures of 1 or 3 channels": 24}
    first = lines(tmp_path / "out" / "labels.jsonl")[0]
    assert first["qry_image_path"] == "images/planet/rgb-3-0000000.png"
    with Pillow.open(tmp_path / "out" / first["qry_image_path"]) as file:
        stored = pairs.sample(StoredImage("planet", "rgb-3-0000000")).image
        assert file.size == (64, 64)
        assert file.getpixel((3, 5)) == tuple(stored[:, 5, 3].tolist())


def test_boxes_of_files_take_the_size_from_the_file(tmp_path):
    Pillow.new("RGB", (200, 100)).save(tmp_path / "a.png")
    row = Row(
        "a",
        "",
        (Image(tmp_path / "a.png"), PixelBox(20, 10, 40, 20)),
        (Text("a"),),
        "",
        ((Text("b"),), (Text("c"),)),
        "k",
        negative_keys=("l", "m"),
    )
    blind = Row("b", "", (Image(tmp_path / "b.png"), PixelBox(20, 10, 40, 20)), (Text("a"),))
    done = export_mmeb(write_pairs(tmp_path / "pairs", {}, {"one": ([row, blind], {})}), tmp_path / "rows.jsonl")
    assert lines(tmp_path / "rows.jsonl")[0]["qry"] == "<|image_1|><|box_start|>(100,100),(200,200)<|box_end|>"
    assert (done.rows, done.shortened) == (1, 1)
    (again,) = import_mmeb(tmp_path / "rows.jsonl", tmp_path / "again").read("rows", [0])
    assert (again.target, again.negatives, again.negative_keys) == ((Text("a"),), ((Text("b"),),), ())
    assert done.left_out == {"a box in an image whose size cannot be read": 1}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"qry": "a", "pos_text": "b"}\n{"qry": "a"}\n', "rows.jsonl:2: a text and its image's path are both empty"),
        ('{"qry": "a", "pos_text": "b"}\n[1]\n', "rows.jsonl:2: a row is a JSON object"),
        ('{"qry": "a", "pos_text": "b"}\nqry\n', "rows.jsonl:2: no JSON"),
        (b"\xff", "rows.jsonl:1: no JSON"),
        ("", "has no rows"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(tmp_path, text, told):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=told):
        import_mmeb(file, tmp_path / "pairs")
    assert list((tmp_path / "pairs").iterdir()) == []


def test_what_cannot_be_exchanged_is_told(planet, tmp_path, monkeypatch):
    pairs, _ = build_pairs([planet], tmp_path / "pairs", ["labels", "sensors"])
    with pytest.raises(SettingsError, match="has several sources; name one of labels, sensors"):
        export_mmeb(pairs, tmp_path / "a.jsonl")
    with pytest.raises(SettingsError, match="no source 'boxes'"):
        export_mmeb(pairs, tmp_path / "a.jsonl", "boxes")
    with pytest.raises(DataError, match="can hold no row of source 'sensors': more than one image in a sequence"):
        export_mmeb(pairs, tmp_path / "a.jsonl", "sensors")
    with pytest.raises(DataError, match="exists already"):
        export_mmeb(pairs, written(tmp_path / "b.jsonl", []), "labels")
    with pytest.raises(SettingsError, match="to \\.jsonl or \\.parquet"):
        import_mmeb(tmp_path / "rows.csv", tmp_path / "c")
    with pytest.raises(DataError, match="No such file"):
        import_mmeb(tmp_path / "none.jsonl", tmp_path / "c")
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match="no readable parquet file"):
        import_mmeb(tmp_path / "bad.parquet", tmp_path / "c")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(SettingsError, match=r"pip install 'geolangbind\[parquet\]'"):
        import_mmeb(tmp_path / "bad.parquet", tmp_path / "c")
