import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from geolangbind.data import verify as verify_module
from geolangbind.data.features import index_features, write_features
from geolangbind.data.index import load_index
from geolangbind.data.verify import render_report, verify
from geolangbind.data.write import ShardWriter
from geolangbind.errors import DataError


def _shard(folder, name):
    return next(shard for shard in load_index(folder).shards if shard.file == name)


def _flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def test_a_whole_folder_has_no_problem(folder):
    seen = []
    report = verify(folder, progress=lambda shards: (seen.append(shard.file) or shard for shard in shards))
    assert report.ok
    assert (report.shards, report.samples, report.problems) == (9, 40, ())
    assert len(seen) == 9
    assert report.n_bytes == sum(path.stat().st_size for path in folder.glob("*.tar") if ".vit." not in path.name)


@pytest.mark.parametrize(
    ("name", "member", "place"),
    [("msi-000001.tar", "image.npy", 4), ("rgb-000000.tar", "mask.png", 0), ("sar-000001.tar", "json", 1)],
)
def test_one_wrong_byte_names_shard_key_and_member(folder, name, member, place):
    shard = _shard(folder, name)
    offset, size, _ = shard.members[member][place]
    _flip(folder / name, int(offset + size - 1))
    (problem,) = verify(folder).problems
    assert (problem.shard, problem.key) == (name, shard.keys[place])
    assert member in problem.what
    assert "copy" in problem.what


def test_a_truncated_tar_names_the_first_lost_sample(folder):
    shard = _shard(folder, "msi-000002.tar")
    path = folder / shard.file
    path.write_bytes(path.read_bytes()[: int(shard.members["image.npy"][3, 0]) + 10])
    (problem,) = verify(folder).problems
    assert (problem.shard, problem.key) == (shard.file, shard.keys[3])
    assert "2 samples lost" in problem.what
    assert "\n" not in str(problem)


def test_a_changed_header_missing_and_stray_tars(folder):
    _flip(folder / "msi-000000.tar", 110)
    (folder / "sar-000000.tar").unlink()
    (folder / "old.tar").write_bytes(b"")
    problems = {problem.shard: problem.what for problem in verify(folder).problems}
    assert problems.keys() == {"msi-000000.tar", "sar-000000.tar", "old.tar"}
    assert "header" in problems["msi-000000.tar"]
    assert "cannot be read" in problems["sar-000000.tar"]
    assert "not in the index" in problems["old.tar"]


def test_a_damaged_sidecar_names_teacher_file_and_key(folder):
    features = _shard(folder, "msi-000003.tar").features["vit"]
    _flip(folder / features.file, int(features.members[2, 0]) + 90)
    (problem,) = verify(folder).problems
    assert (problem.shard, problem.key) == ("msi-000003.vit.tar", "s0017")


@pytest.mark.parametrize(("change", "words"), [("infinite", "not finite"), ("shape", r"\(4, 3\) where the index says")])
def test_stored_features_written_wrong_are_found_though_the_hash_is_right(folder, change, words):
    shard = _shard(folder, "msi-000001.tar")
    rows = [np.zeros((4, 3), np.float16) for _ in shard.keys]
    record = write_features(folder, shard, "vit", zip(shard.keys, rows, strict=True))
    if change == "infinite":
        # as an fp16 overflow elsewhere would leave it; encode_features refuses to
        path = folder / record.file
        offset, size, _ = record.members[1].tolist()
        data = bytearray(path.read_bytes())
        data[offset + size - 2 : offset + size] = np.array([np.inf], np.float16).tobytes()
        path.write_bytes(data)
        members = record.members.copy()
        members[1, 2] = zlib.crc32(data[offset : offset + size])
        record = replace(record, members=members, sha256=hashlib.sha256(data).hexdigest())
    else:
        record = replace(record, shape=(2, 6))
    index_features(folder, [record])
    problems = verify(folder).problems
    assert {problem.shard for problem in problems} == {"msi-000001.vit.tar"}
    assert (len(problems), problems[0].key) == ((1, shard.keys[1]) if change == "infinite" else (5, shard.keys[0]))
    assert re.search(words, problems[0].what)


def test_an_index_that_lies_about_places_is_found(folder):
    path = folder / "index.json"
    document = json.loads(path.read_text())
    rows = document["shards"][0]["members"]["json"]
    rows[0], rows[1] = rows[1], rows[0]
    path.write_text(json.dumps(document))
    (problem,) = verify(folder).problems
    assert (problem.key, "where the index says" in problem.what) == ("s0000", True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": np.full((4, 6, 8), np.nan, np.float32)}, "NaN"),
        ({"image": np.zeros((4, 6, 8), np.uint16), "nodata": 0.0}, "no valid pixel"),
        ({"captions": (), "labels": {}}, "neither a caption nor a label"),
    ],
)
def test_what_was_written_wrong_is_found_though_the_hash_is_right(tmp_path, make_sample, change, words):
    with ShardWriter(tmp_path, "x") as writer:
        writer.write(make_sample(9, **change))
    (problem,) = verify(tmp_path).problems
    assert (problem.shard, problem.key) == ("x-000000.tar", "s0009")
    assert words in problem.what


def test_without_an_index_there_is_nothing_to_verify(tmp_path):
    with pytest.raises(DataError, match=r"has no index\.json"):
        verify(tmp_path)


def test_the_report_prints_one_line_per_problem(folder):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_report(verify(folder)))
    assert "fingerprint" in console.export_text()
    (folder / "sar-000000.tar").unlink()
    report = verify(folder)
    console.print(render_report(report))
    assert not report.ok
    assert "sar-000000.tar" in console.export_text()


def test_tars_stay_readable_by_tarfile_after_all(folder):
    with tarfile.open(folder / "msi-000000.vit.tar") as tar:
        assert tar.getnames() == [f"s{n:04d}.vit.safetensors" for n in range(5)]


def test_many_small_pieces_and_several_processes_find_the_same(folder, monkeypatch):
    shard = _shard(folder, "msi-000001.tar")
    _flip(folder / shard.file, int(shard.members["image.npy"][3, 0]) + 200)
    (folder / "sar-000001.tar").unlink()
    alone = verify(folder)
    assert [(problem.shard, problem.key) for problem in alone.problems] == [("msi-000001.tar", shard.keys[3]), ("sar-000001.tar", None)]
    assert verify(folder, workers=2) == alone
    monkeypatch.setattr(verify_module, "_PIECE_BYTES", 100)  # less than a member, less than a sample
    assert verify(folder) == alone


def test_a_pipe_in_the_place_of_a_tar_is_not_waited_for(folder):
    (folder / "sar-000000.tar").unlink()
    os.mkfifo(folder / "sar-000000.tar")
    (problem,) = verify(folder).problems
    assert str(problem).startswith("sar-000000.tar: is no file")
