"""`geolangbind-evaluate`: rows with everything needed to repeat them, measured once."""

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from geolangbind import commands
from geolangbind.checkpoint import file_sha256
from geolangbind.data.index import Index
from geolangbind.data.shards import ShardSet
from geolangbind.errors import CheckpointError, DataError, SettingsError
from geolangbind.evaluate import run, tasks
from geolangbind.evaluate.datasets import NotThereError
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.encoded import encode_streams
from geolangbind.evaluate.prompts import prompts_hash
from geolangbind.evaluate.results import read_rows
from geolangbind.evaluate.run import evaluate, run_suite
from geolangbind.evaluate.suite import Dataset, Labelled, Source, Suite, Task
from geolangbind.evaluate.zero_shot import zero_shot
from geolangbind.hydra_entry import compose
from geolangbind.planet.groups import CLASSES
from geolangbind.planet.language import class_phrases
from geolangbind.statistics import Statistics

TASK = Task("zero_shot", {"label": "scene_class"})


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return model.save(tmp_path_factory.mktemp("model") / "model")


def suite_of(shards, *asked, **changes):
    return Suite("mine", (Dataset("one", Source(shards=str(shards)), asked or (TASK,), **changes),))


def test_rows_say_what_was_measured(model, folder, shards, streams, monkeypatch):
    monkeypatch.setattr("sys.argv", ["geolangbind-evaluate", "model=m"])
    embedder = Ours.open(str(folder))
    rows = {row.modality: row for row in run_suite(embedder, Labelled("zero_shot", str(shards), "scene_class").suite()).rows}
    classes = {name: tuple(class_phrases(name)) for name in CLASSES}
    assert list(rows) == ["rgb", "sar", "dem"]
    for modality, row in rows.items():
        found = zero_shot(embedder, encode_streams(embedder, streams[modality]), classes, "scene_class")[0]
        assert (row.value, row.n, row.chance, row.low, row.high) == (found.value, 12, 1 / 24, found.low, found.high)
        assert row.prompts == prompts_hash(classes, modality) and row.command == "geolangbind-evaluate model=m" and row.synthetic
        assert row.revision == ShardSet.open(shards).fingerprint and row.model_sha256 == file_sha256(folder / "model.safetensors")
        assert datetime.fromisoformat(row.date).tzinfo is not None and (row.task, row.published) == ("zero_shot", False)
    assert (rows["rgb"].sensor, rows["rgb"].bands, rows["sar"].sensor) == ("sentinel-2-tci", "R G B", "sentinel-1-grd")


def test_the_command_appends_rows_beside_the_model_once(folder, shards, capsys, tmp_path):
    config = compose("evaluate", [f"model={folder.parent}", f"suite.data={shards}", "suite.modalities=[rgb]"])
    commands._evaluate(config)
    commands._evaluate(config)
    evaluate({**config, "out": str(tmp_path / "elsewhere")})
    told = " ".join(capsys.readouterr().out.split())
    assert "(synthetic data)" in told and "rows appended to" in told and "top1" in told and "; 1 of 1 were there already" in told
    for place in (folder, tmp_path / "elsewhere"):
        (row,) = [json.loads(line) for line in (place / "results.jsonl").read_text().splitlines()]
        assert (row["modality"], row["suite"], row["metric"], row["n"]) == ("rgb", "zero_shot", "top1", 12)
        details = json.loads((place / "details" / f"{row['id']}.json").read_text())
        assert np.array(details["confusion"]).sum() == 12 and details["classes"] == list(CLASSES)


def test_the_command_tells_averages_and_what_is_missing(folder, shards, capsys, tmp_path):
    config = compose("evaluate", [f"model={folder.parent}", f"suite.data={shards}", "suite.modalities=[rgb]"])
    suite = config["suite"]
    absent = {"card": "aid", "root": str(tmp_path), "tasks": [{"task": "zero_shot", "label": "scene_class"}]}
    suite = {**suite, "datasets": {**suite["datasets"], "aid": absent}, "averages": {"mine": [str(shards)], "both": [str(shards), "aid"]}}
    commands._evaluate({**config, "suite": suite, "out": str(tmp_path)})
    told = " ".join(capsys.readouterr().out.split())
    (row,) = read_rows(tmp_path / "results.jsonl")
    assert f"average mine: {100 * row.value:.2f} %" in told and "average both" not in told and "not measured: aid: no folder" in told


@pytest.fixture
def measured(monkeypatch):
    """Names of the tasks that were really run."""
    calls = []

    def counted(cell, task):
        calls.append(f"{cell.modality} {task.name}")
        return tasks.measure(cell, task)

    monkeypatch.setattr(run, "measure", counted)
    return calls


def other_data(shards, labelled, **_):
    return {"shards": labelled}


def other_words(shards, monkeypatch, **_):
    changed = ShardSet.open(shards)
    listed = {**changed.index.provenance["classes"]["scene_class"], "forest": ["some trees"]}
    told = ShardSet(changed.folder, Index(changed.index.shards, {"classes": {"scene_class": listed}}), changed.streams)
    monkeypatch.setattr(run, "open_source", lambda *_: told)
    return {}


def other_version(monkeypatch, **_):
    monkeypatch.setattr(tasks, "METRICS_VERSION", "next")
    return {}


CHANGES = {
    "weights": lambda **_: {"sha256": "d1ff"},
    "data": other_data,
    "words of a class": other_words,
    "a template": lambda **_: {"task": replace(TASK, settings={**TASK.settings, "prompts": ["a photo of {}"]})},
    "a label": lambda **_: {"task": replace(TASK, settings={"label": "season"})},
    "the metrics asked for": lambda **_: {"task": replace(TASK, metrics=("top1",))},
    "bands": lambda **_: {"bands": ("G", "R")},
    "sensors": lambda **_: {"modalities": ("rgb", "dem")},
    "the training part": lambda shards, **_: {"bank": Source(shards=str(shards))},
    "the metrics' version": other_version,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_row_is_kept_until_one_ingredient_changes(constant, shards, labelled, tmp_path, measured, monkeypatch, change):
    def measure(sha256="1", shards=shards, task=TASK, **selection):
        return run_suite(replace(constant, sha256=sha256), suite_of(shards, task, **{"modalities": ("rgb",), **selection}), tmp_path)

    first, again = measure(), measure()
    assert measured == ["rgb zero_shot"] and again.rows == first.rows and again.kept == len(first.rows) == 4
    changed = measure(**CHANGES[change](shards=shards, labelled=labelled, monkeypatch=monkeypatch))
    assert (
        measured[:2] == ["rgb zero_shot"] * 2
        and changed.kept == 0
        and not {row.id for row in changed.rows} & {row.id for row in first.rows}
    )
    assert read_rows(tmp_path / "results.jsonl") == first.rows + changed.rows  # what was measured before stays


KNN = Task("knn", {"label": "season", "k": 3})
BANKED = {
    "weights": lambda *_: {"sha256": "d1ff"},
    "data": lambda other, _: {"data": other},
    "the training part": lambda other, _: {"bank": Source(shards=str(other))},
    "a label": lambda *_: {"task": replace(KNN, settings={"label": "scene_class", "k": 3})},
    "a setting": lambda *_: {"task": replace(KNN, settings={"label": "season", "k": 2})},
    "the metrics asked for": lambda *_: {"task": replace(KNN, metrics=("top1",))},
    "bands": lambda *_: {"bands": ("G", "R")},
    "the metrics' version": lambda _, patch: other_version(patch),
}


@pytest.mark.parametrize("change", BANKED)
def test_a_row_that_was_learned_is_kept_likewise(constant, labelled, reordered, tmp_path, measured, monkeypatch, change):
    def measure(sha256="1", data=labelled, task=KNN, **selection):
        usual = {"modalities": ("rgb",), "bank": Source(shards=str(labelled))}
        return run_suite(replace(constant, sha256=sha256), suite_of(data, task, **usual | selection), tmp_path)

    first, again = measure(), measure()
    assert measured == ["rgb knn"] and again.rows == first.rows and again.kept == len(first.rows) == 1
    changed = measure(**BANKED[change](reordered, monkeypatch))
    assert measured == ["rgb knn"] * 2 and read_rows(tmp_path / "results.jsonl") == first.rows + changed.rows


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (Task("open_vocabulary"), {"classes": {"cover": {"water": ["the sea"]}}}),
        (Task("open_vocabulary"), {"mask_classes": {"0": "sea", "1": "land"}}),
        (Task("segmentation", {"steps": 1}), {"mask_classes": {"0": "sea", "1": "land"}}),
    ],
)
def test_what_masks_mean_is_an_ingredient(constant, labelled, tmp_path, measured, monkeypatch, task, told):
    suite = suite_of(labelled, task, modalities=("dem",), bank=Source(shards=str(labelled)))
    first, again = (run_suite(constant, suite, tmp_path) for _ in range(2))
    found = ShardSet.open(labelled)
    other = ShardSet(found.folder, Index(found.index.shards, {**found.index.provenance, **told}), found.streams)
    monkeypatch.setattr(run, "open_source", lambda *_: other)
    changed = run_suite(constant, suite, tmp_path)
    assert measured == [f"dem {task.name}"] * 2 and again.rows == first.rows and changed.kept == 0


def test_a_threshold_is_an_ingredient(model, labelled, tmp_path, measured):
    for threshold in (1.0, 2.0, 1.0):
        asked = Task("multi_label", {"label": "classes", "threshold": threshold})
        found = run_suite(Ours("m", "1", model), suite_of(labelled, asked, modalities=("dem",)), tmp_path)
    assert measured == ["dem multi_label"] * 2 and found.kept == 4


def test_another_suite_or_dataset_has_its_own_rows(model, shards, tmp_path, measured):
    suite = suite_of(shards, modalities=("rgb",))
    for one in (suite, replace(suite, name="other"), replace(suite, datasets=(replace(suite.datasets[0], name="two"),))):
        run_suite(Ours("m", "1", model), one, tmp_path)
    assert len(measured) == 3


def test_an_interrupted_run_goes_on_where_it_stopped(model, shards, tmp_path, measured, monkeypatch):
    def stopped(cell, task):
        if cell.modality == "sar":
            raise KeyboardInterrupt
        return tasks.measure(cell, task)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run, "measure", stopped)
        run_suite(Ours("m", "1", model), suite_of(shards), tmp_path)
    with (tmp_path / "results.jsonl").open("a") as stream:
        stream.write('{"model": "m", "mod')  # what a killed process leaves
    found = run_suite(Ours("m", "1", model), suite_of(shards), tmp_path)
    assert measured == ["sar zero_shot", "dem zero_shot"] and found.kept == 4
    assert read_rows(tmp_path / "results.jsonl") == found.rows and len(found.rows) == 12


def test_images_are_encoded_once_for_all_tasks(constant, labelled):
    seen = []

    class Counting(type(constant)):
        def images(self, batch):
            seen.extend(batch.keys)
            return super().images(batch)

    asked = (TASK, replace(TASK, metrics=("ece",)), Task("multi_label", {"label": "classes"}))
    found = run_suite(Counting(), suite_of(labelled, *asked))
    assert len(seen) == len(set(seen)) == 24 and len(found.rows) == 2 * (4 + 1 + 4)


def test_what_a_model_cannot_see_or_is_not_there_is_listed(model, shards, tmp_path):
    narrow = replace(model, statistics=Statistics({kind: model.statistics.kinds[kind] for kind in ("display",)}))
    found = run_suite(Ours("m", "1", narrow), suite_of(shards), tmp_path)
    assert {row.modality for row in found.rows} == {"rgb"}
    assert [line.split(":")[0] for line in found.missing] == ["one sar zero_shot", "one dem zero_shot"]
    with pytest.raises(DataError, match=r"nothing of suite mine was measured: one sar zero_shot: "):
        run_suite(Ours("m", "1", narrow), suite_of(shards, modalities=("sar",)))


def test_data_sets_that_are_not_there_do_not_stop_the_others(model, shards, monkeypatch):
    opened = run.open_source

    def open_source(source, kept):
        if source.shards == "absent":
            raise NotThereError("two: no folder absent")
        return opened(source, kept)

    monkeypatch.setattr(run, "open_source", open_source)
    suite = suite_of(shards, modalities=("rgb",))
    both = replace(suite, datasets=(Dataset("two", Source(shards="absent"), (TASK,)), *suite.datasets))
    found = run_suite(Ours("m", "1", model), both)
    assert found.missing == ["two: no folder absent"] and len(found.rows) == 4


def test_what_cannot_be_measured_is_refused(model, folder, shards, tmp_path):
    embedder = Ours("m", "1", model)
    with pytest.raises(SettingsError, match="no task 'retrievall'"):
        run_suite(embedder, suite_of(shards, Task("retrievall")))
    with pytest.raises(SettingsError, match=r"found no metric 'f1'.*; it found top1, top5, mean_class, ece"):
        run_suite(embedder, suite_of(shards, replace(TASK, metrics=("f1",))))
    with pytest.raises(DataError, match="'hsi'"):
        run_suite(embedder, suite_of(shards, modalities=("hsi",)))
    with pytest.raises(DataError, match="index"):
        run_suite(embedder, suite_of(tmp_path))
    with pytest.raises(CheckpointError, match="no model at"):
        evaluate(compose("evaluate", [f"model={tmp_path}", f"suite.data={shards}"]))
