"""`geolangbind pairs ...`: from shards to rows and files, as typed."""

import json

import pytest

from geolangbind.planet.write import write_planet


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "planet"
    write_planet(folder, 2, seed=1, modalities=["rgb", "sar"], workers=1, progress=False)
    return folder


def test_build_show_and_exchange(shards, tmp_path, typed_flat):
    code, out, err = typed_flat("pairs", "build", shards, "--out", tmp_path / "pairs", "--kinds", "labels, boxes,sensors ")
    assert code == 0
    assert "labels │ 4 │ kind labels" in out
    assert err == "nothing in the shards to make these from: boxes, boxes-to-region"

    code, out, _ = typed_flat("pairs", "show", tmp_path / "pairs", "--verify", "--examples", "1")
    assert code == 0
    assert "<rgb-3-0000000> → " in out
    assert "<rgb-3-0000000> <sar-3-0000000>" in out

    code, out, err = typed_flat("pairs", "export-mmeb", tmp_path / "pairs", "--source", "labels", "--out", tmp_path / "labels.jsonl")
    assert (code, out) == (0, f"wrote 2 rows to {tmp_path / 'labels.jsonl'}")
    assert err == "left out 2: images of sentinel-1-grd are no 8-bit pictures of 1 or 3 channels"

    code, out, _ = typed_flat("pairs", "import-mmeb", tmp_path / "labels.jsonl", "--out", tmp_path / "again", "--sensor", "sentinel-2-tci")
    assert code == 0
    assert "labels │ 2 │ kind mmeb, file labels.jsonl" in out
    raw = json.loads((tmp_path / "again" / "labels.jsonl").read_text().splitlines()[0])
    assert raw["query"][0] == {"image": "../images/planet/rgb-3-0000000.png", "sensor": "sentinel-2-tci"}


def test_what_makes_a_place_is_said_where_none_is_seen_twice(tmp_path, typed_flat):
    write_planet(tmp_path / "one", 2, seed=1, modalities=["rgb"], workers=1, progress=False)
    code, _, err = typed_flat("pairs", "build", tmp_path / "one", "--out", tmp_path / "pairs", "--kinds", "labels,sensors")
    assert code == 0
    assert "nothing in the shards to make these from: sensors" in err
    assert "keys end alike behind the first '-' (rgb-0001, sar-0001), in one folder, or in several if bbox_wgs84 agrees" in err


def test_sensors_in_folders_of_their_own_are_paired(tmp_path, typed_flat):
    for name in ("rgb", "sar"):
        write_planet(tmp_path / name, 2, seed=1, modalities=[name], workers=1, progress=False)
    code, out, err = typed_flat("pairs", "build", tmp_path / "rgb", tmp_path / "sar", "--out", tmp_path / "pairs", "--kinds", "sensors")
    assert (code, err) == (0, "")
    assert "sensors │ 4 │ kind sensors" in out


def test_mistakes_are_one_line(shards, tmp_path, typed_flat):
    code, _, err = typed_flat("pairs", "build", shards, "--out", tmp_path, "--kinds", "label")
    assert (code, err) == (2, "error: unknown kind 'label'; kinds are labels, captions, boxes, questions, places, edits, dates, sensors")
    code, _, err = typed_flat("pairs", "show", tmp_path)
    assert code == 1
    assert "has no pairs.json; make one with `geolangbind pairs build`" in err
