"""Measured points on disk: exact, resumable after a cut, refused for other inputs."""

import json

import numpy as np
import pytest

from geolangbind.errors import DataError, SettingsError
from geolangbind.sweep.grid import Pair
from geolangbind.sweep.points import Point, append_point, open_points
from geolangbind.sweep.validation import Score

INPUTS = {"base": {"path": "a", "sha256": "1"}, "data": {"path": "d", "revision": "r", "label": "scene_class"}, "generator": "average"}


def point(m1, m2, right=(True, False, True)):
    right = np.array(right)
    return Point(
        Pair(m1, m2), {name: Score(float(values.mean()), 3, 0.1, 0.9, values) for name, values in (("rgb", right), ("dem", ~right))}
    )


def test_points_come_back_as_they_were(tmp_path):
    assert open_points(tmp_path / "new" / "sweep", INPUTS) == {}
    for m1 in (0.1, 0.3):
        append_point(tmp_path / "new" / "sweep", point(m1, 0.7))
    found = open_points(tmp_path / "new" / "sweep", INPUTS)
    assert list(found) == [Pair(0.1, 0.7), Pair(0.3, 0.7)]
    for pair, there in found.items():
        made = point(*pair)
        assert there.mean == made.mean == pytest.approx(0.5)
        for name, score in made.scores.items():
            got = there.scores[name]
            assert (got.top1, got.n, got.low, got.high) == (score.top1, score.n, score.low, score.high)
            assert got.right.dtype == bool and np.array_equal(got.right, score.right)


def test_lines_are_readable_json(tmp_path):
    open_points(tmp_path, INPUTS)
    append_point(tmp_path, point(0.9, 0.5))
    (line,) = (tmp_path / "points.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["m1"], told["m2"]) == (0.9, 0.5) and told["modalities"]["rgb"]["top1"] == 2 / 3
    assert told["modalities"]["rgb"]["right"] == "a0"  # 101, then five bits of nothing


def test_a_line_that_was_cut_off_is_measured_again(tmp_path):
    open_points(tmp_path, INPUTS)
    append_point(tmp_path, point(0.1, 0.5))
    append_point(tmp_path, point(0.2, 0.5))
    path = tmp_path / "points.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert list(open_points(tmp_path, INPUTS)) == [Pair(0.1, 0.5)]
    append_point(tmp_path, point(0.2, 0.5))
    assert list(open_points(tmp_path, INPUTS)) == [Pair(0.1, 0.5), Pair(0.2, 0.5)]


@pytest.mark.parametrize("line", ["not json", "[1]", "{}", '{"m1": 0.1, "m2": 0.5, "modalities": {"rgb": {"right": "zz"}}}'])
def test_damage_in_the_middle_is_named(tmp_path, line):
    open_points(tmp_path, INPUTS)
    append_point(tmp_path, point(0.1, 0.5))
    with (tmp_path / "points.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(DataError, match=r"line 2 of .*points\.jsonl is damaged"):
        open_points(tmp_path, INPUTS)


def test_other_inputs_are_refused_by_hash_and_not_by_place(tmp_path):
    open_points(tmp_path, INPUTS)
    open_points(tmp_path, {**INPUTS, "base": {"path": "moved", "sha256": "1"}})
    with pytest.raises(SettingsError, match=r"other inputs \(base, generator differ"):
        open_points(tmp_path, {**INPUTS, "base": {"path": "a", "sha256": "2"}, "generator": "last"})
    (tmp_path / "inputs.json").write_text("[")
    with pytest.raises(DataError, match=r"cannot read .*inputs\.json"):
        open_points(tmp_path, INPUTS)
