"""A whole sweep on tiny models: resumes, refuses other inputs, agrees with evaluating the written merge."""

import json
from dataclasses import replace

import pytest

from geolangbind.errors import SettingsError
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.run import run_suite
from geolangbind.sweep.grid import Pair
from geolangbind.sweep.run import Request, sweep
from geolangbind.weights.load import load
from merge_weights import merge


@pytest.fixture
def request_(models, suite, tmp_path):
    return Request(models["base"], models["rgb"], models["others"], (0.0, 0.9), (0.5, 1.0), suite, tmp_path / "sweep", command="typed")


class Counted:
    """Stands for the progress bar; remembers which points were measured."""

    def __init__(self, stop_after=None):
        self.seen, self.stop_after = [], stop_after

    def __call__(self, pairs):
        for pair in pairs:
            if len(self.seen) == self.stop_after:
                raise KeyboardInterrupt
            self.seen.append(pair)
            yield pair


def means(report):
    return {pair: point.mean for pair, point in report.points.items()}


def test_a_sweep_measures_each_merge_once_and_as_written(request_, models, suite, tmp_path):
    counted = Counted()
    report = sweep(request_, counted)
    assert counted.seen == [Pair(0.0, 0.5), Pair(0.9, 0.5), Pair(0.0, 1.0)]  # (0.9, 1) is (0, 1)
    assert report.points[Pair(0.9, 1.0)] is report.points[Pair(0.0, 1.0)] and report.measured == 3
    merge(models["base"], [(models["rgb"], 0.9), (models["others"], 0.5)], tmp_path / "merged")
    rows = run_suite(Ours.open(str(tmp_path / "merged")), suite.suite()).rows
    assert {row.modality: row.value for row in rows} == {k: s.top1 for k, s in report.points[Pair(0.9, 0.5)].scores.items()}
    files = {"heatmap.png", "inputs.json", "points.jsonl", "sweep.json", "sweep.md"}
    assert {path.name for path in request_.out.iterdir()} == files
    told = json.loads((request_.out / "sweep.json").read_text())
    assert told["command"] == "typed" and told["inputs"]["rgb"]["path"] == models["rgb"] and told["m1"] == [0.0, 0.9]


def test_an_interrupted_sweep_continues_and_a_finer_grid_reuses_it(request_):
    with pytest.raises(KeyboardInterrupt):
        sweep(request_, Counted(stop_after=1))
    assert len((request_.out / "points.jsonl").read_text().splitlines()) == 1 and not (request_.out / "sweep.json").exists()
    rest, none, finer = Counted(), Counted(), Counted()
    first = sweep(request_, rest)
    assert rest.seen == [Pair(0.9, 0.5), Pair(0.0, 1.0)]
    assert means(sweep(request_, none)) == means(first) and none.seen == []
    wider = sweep(replace(request_, m1=(0.5, 0.9), m2=(0.5, 0.75, 1.0)), finer)
    assert finer.seen == [Pair(0.5, 0.5), Pair(0.5, 0.75), Pair(0.9, 0.75)]  # the row m2 = 1 is known from m1 = 0
    assert wider.points[Pair(0.5, 1.0)].mean == first.points[Pair(0.0, 1.0)].mean


def test_other_inputs_in_the_same_folder_are_refused(request_, models):
    sweep(replace(request_, m1=(0.5,), m2=(0.5,)))
    with pytest.raises(SettingsError, match=r"other inputs \(generator differ"):
        sweep(replace(request_, generator="last"))
    with pytest.raises(SettingsError, match=r"other inputs \(rgb differ"):
        sweep(replace(request_, rgb=models["others"]))
    with pytest.raises(SettingsError, match=r"a sweep knows average, last"):
        replace(request_, generator="routed")


def test_the_generator_taken_from_others_is_the_tool_s(request_, models, suite, tmp_path):
    report = sweep(replace(request_, m1=(0.9,), m2=(0.5,), generator="last"))
    steps = [(models["rgb"], 0.9), (models["others"], 0.5)]
    merge(models["base"], steps, tmp_path / "merged", parts={"generator": [0.9, 1.0]})
    rows = run_suite(Ours.open(str(tmp_path / "merged")), suite.suite()).rows
    assert {row.modality: row.value for row in rows} == {k: s.top1 for k, s in report.points[Pair(0.9, 0.5)].scores.items()}


def test_text_is_encoded_once_if_all_parents_share_the_tower(request_, models, tmp_path, monkeypatch):
    import geolangbind.sweep.run as module

    calls, encode = [], module.text_vectors
    monkeypatch.setattr(module, "text_vectors", lambda *arguments: calls.append(1) or encode(*arguments))
    sweep(request_)
    assert len(calls) == 1
    other = load(models["rgb"])
    with __import__("torch").no_grad():
        other.towers.text.ln_final.bias += 0.5
    sweep(replace(request_, rgb=str(other.save(tmp_path / "other")), out=tmp_path / "again"))
    assert len(calls) == 1 + 3
