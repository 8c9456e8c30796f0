"""`geolangbind-evaluate`: rows per modality with everything needed to repeat them."""

import json
from datetime import datetime

import pytest

from geolangbind import commands
from geolangbind.checkpoint import file_sha256
from geolangbind.data.shards import ShardSet
from geolangbind.errors import CheckpointError, DataError, SettingsError
from geolangbind.evaluate.prompts import prompts_hash
from geolangbind.evaluate.run import Suite, evaluate, label_phrases, run_suite
from geolangbind.evaluate.zero_shot import zero_shot
from geolangbind.hydra_entry import compose
from geolangbind.planet.groups import CLASSES
from geolangbind.planet.language import class_phrases


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return model.save(tmp_path_factory.mktemp("model") / "model")


def suite_of(shards, **changes):
    return Suite(**{"name": "zero_shot", "task": "zero_shot", "data": str(shards), "label": "scene_class", **changes})


def test_rows_say_what_was_measured(model, folder, shards, streams, monkeypatch):
    monkeypatch.setattr("sys.argv", ["geolangbind-evaluate", "model=m"])
    rows = {row.modality: row for row in run_suite(str(folder), model, suite_of(shards))}
    classes = {name: tuple(class_phrases(name)) for name in CLASSES}
    assert set(rows) == {"rgb", "sar", "dem"}
    for modality, row in rows.items():
        found = zero_shot(model, streams[modality], classes, "scene_class")
        assert (row.value, row.n, row.chance, row.low, row.high) == (found.top1, 12, 1 / 24, found.low, found.high)
        assert row.prompts == prompts_hash(classes, modality) and row.command == "geolangbind-evaluate model=m" and row.synthetic
        assert row.revision == ShardSet.open(shards).fingerprint and row.model_sha256 == file_sha256(folder / "model.safetensors")
        assert datetime.fromisoformat(row.date).tzinfo is not None
    assert (rows["rgb"].sensor, rows["rgb"].bands, rows["sar"].sensor) == ("sentinel-2-tci", "R G B", "sentinel-1-grd")


def test_the_command_appends_rows_beside_the_model(folder, shards, capsys, tmp_path):
    config = compose("evaluate", [f"model={folder.parent}", f"suite.data={shards}", "suite.modalities=[rgb]"])
    commands._evaluate(config)
    evaluate({**config, "out": str(tmp_path / "elsewhere")})
    told = capsys.readouterr().out.replace("\n", " ")
    assert "(synthetic data)" in told and "rows appended to" in told and "sentinel-2-tci" in told
    for place in (folder, tmp_path / "elsewhere"):
        (row,) = [json.loads(line) for line in (place / "results.jsonl").read_text().splitlines()]
        assert (row["modality"], row["suite"], row["metric"], row["n"]) == ("rgb", "zero_shot", "top1", 12)


def test_labels_of_shards_without_a_list_are_their_own_phrases(shards, monkeypatch):
    found = ShardSet.open(shards)
    monkeypatch.setitem(found.index.provenance, "classes", {})
    classes = label_phrases(found, "scene_class")
    assert list(classes) == sorted(classes) and set(classes) <= set(CLASSES)
    assert all(phrases == (name.replace("_", " "),) for name, phrases in classes.items())
    assert set(label_phrases(found, "scene_index")) == {str(number) for number in range(12)}
    with pytest.raises(DataError, match=r"no sample in .* has a label 'crop'"):
        label_phrases(found, "crop")


def test_what_cannot_be_measured_is_refused(model, folder, shards, tmp_path):
    with pytest.raises(SettingsError, match=r"suite\.task is 'retrieval'; tasks are zero_shot"):
        suite_of(shards, task="retrieval")
    with pytest.raises(DataError, match="'hsi'"):
        run_suite(str(folder), model, suite_of(shards, modalities=["hsi"]))
    with pytest.raises(DataError, match="index"):
        run_suite(str(folder), model, suite_of(tmp_path))
    with pytest.raises(CheckpointError, match="no model at"):
        evaluate(compose("evaluate", [f"model={tmp_path}", f"suite.data={shards}"]))
