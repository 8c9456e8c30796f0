"""Validation leaves no trace, measures the weights it should, and agrees with the evaluation of the saved model."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import geolangbind
from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError, SettingsError
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.encoded import encode_streams
from geolangbind.evaluate.prompts import label_phrases
from geolangbind.evaluate.zero_shot import zero_shot
from geolangbind.train.loop import validation_score
from geolangbind.train.run import train
from geolangbind.train.validate import open_validator, sample_numbers, undisturbed

COMMON = {"steps": 4, "checkpoint_every": 2, "ema_decay": 0.5, "train_text": True, "modalities": ["rgb", "sar"]}


@pytest.fixture(scope="module")
def validated(shards, tmp_path_factory):
    """A run of four steps with and one without validation: (with, without)."""
    from geolangbind.train.settings import from_config

    folder = tmp_path_factory.mktemp("validated")
    group = {"name": "two", "modalities": {"rgb": 1, "sar": 1}}
    runs = []
    for name, extra in (
        ("with", {"validation": {"data": str(shards), "every": 1, "samples": 12, "batch_size": 5}, "best_metric": "validation/zero_shot"}),
        ("without", {}),
    ):
        settings = {**{key: value for key, value in COMMON.items() if key != "modalities"}, "data": str(shards), "batch_size": 4, **extra}
        quiet = {"progress": False, "report": False, "best_is": "highest", "machine": {"accelerator": "cpu", "precision": "32-true"}}
        train(from_config({**settings, **quiet, "run_dir": str(folder / name), "sensor_group": group}))
        runs.append(folder / name)
    return runs


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_training_is_the_same_bit_for_bit_with_and_without(validated):
    first, second = validated
    for path in ("model/model.safetensors", "checkpoints/step-00000004/state.safetensors"):
        assert (first / path).read_bytes() == (second / path).read_bytes()
    timed = ("samples_per_s", "data_wait")
    one, other = ([{k: v for k, v in row.items() if k not in timed} for row in rows_of(run / "metrics.jsonl")] for run in validated)
    assert one == other and not (second / "validation.jsonl").exists()


def test_each_modality_has_its_row_each_time(validated):
    rows = rows_of(validated[0] / "validation.jsonl")
    assert [(row["step"], row["modality"]) for row in rows] == [(step, name) for step in (1, 2, 3, 4) for name in ("rgb", "sar")]
    for row in rows:
        assert row["averaged"] is True and row["n"] == row["zero_shot_n"] == 12 and row["seconds"] > 0
        assert 0 <= row["recall_1"] <= row["recall_5"] <= 1 and row["recall_5_chance"] == pytest.approx(
            min(1, 5 / row["captions"]), abs=1e-6
        )
    assert [row["sensors"] for row in rows[:2]] == [["sentinel-2-tci"], ["sentinel-1-grd"]]


def test_the_last_figures_are_those_of_the_saved_averages(validated, shards):
    """The evaluation of the saved model, on all samples at once, is an independent way to the same figure."""
    embedder, data = Ours.open(str(validated[0])), ShardSet.open(shards)
    classes = label_phrases(data, "scene_class")
    for row in rows_of(validated[0] / "validation.jsonl")[-2:]:
        found = zero_shot(embedder, encode_streams(embedder, data.select(modalities=[row["modality"]])), classes, "scene_class")[0]
        assert (row["zero_shot"], row["zero_shot_chance"]) == pytest.approx((found.value, found.chance), abs=1e-6)


def test_retrieval_is_that_of_the_first_captions(validated, shards):
    model = geolangbind.load(validated[0])
    (stream,) = ShardSet.open(shards).select(modalities=["rgb"])
    encoded = encode_streams(Ours("", "", model), [stream])
    captions = [own[0] for own in encoded.captions]
    texts = sorted(set(captions))
    scores = encoded.vectors @ model.encode_text(texts).T
    ranks = [int((line > line[texts.index(own)]).sum()) for line, own in zip(scores, captions, strict=True)]
    row = rows_of(validated[0] / "validation.jsonl")[-2]
    for k in (1, 5):
        assert row[f"recall_{k}"] == pytest.approx(sum(rank < k for rank in ranks) / 12, abs=1e-6)


def test_the_best_checkpoint_goes_by_the_last_validation_before_it(validated):
    rows = rows_of(validated[0] / "validation.jsonl")
    for step in (2, 4):
        told = json.loads((validated[0] / "checkpoints" / f"step-{step:08d}" / "state.json").read_text())
        assert told["score"] == pytest.approx(sum(row["zero_shot"] for row in rows if row["step"] == step) / 2, abs=1e-6)


def test_scores_are_means_over_modalities():
    rows = [{"zero_shot": 0.2, "recall_1": 0.5}, {"zero_shot": 0.4}]
    assert validation_score(rows, "validation/zero_shot") == pytest.approx(0.3) and validation_score(rows, "validation/recall_1") == 0.5
    assert validation_score(rows, "zero_shot") is None and validation_score([], "validation/zero_shot") is None


def test_random_numbers_and_modes_come_back():
    module = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Linear(1, 1)).eval())
    torch.manual_seed(3)
    expected = float(torch.rand(()))
    torch.manual_seed(3)
    with pytest.raises(KeyError), undisturbed(module, torch.device("cpu")):
        module.eval()
        torch.rand(5)
        raise KeyError
    assert float(torch.rand(())) == expected
    assert [part.training for part in module.modules()] == [True, True, False, False]


def test_samples_are_spread_evenly():
    """Over streams laid end to end: 0, 2, 5, 7 of ten are 0, 2 of the first three and 2, 4 of the other seven."""
    chosen = [(len(stream), numbers.tolist()) for stream, numbers in sample_numbers(["abc", "defghij"], 4)]
    assert chosen == [(3, [0, 2]), (7, [2, 4])]
    assert [numbers.tolist() for _, numbers in sample_numbers(["abc", "d"], 9)] == [[0, 1, 2], [0]]
    assert [stream for stream, _ in sample_numbers(["abc", "d"], 2)] == ["abc"]


def test_when_it_is_due(settings_for, shards):
    often = open_validator(settings_for(steps=5, validation={"data": str(shards), "every": 2}), None)
    assert [step for step in range(1, 6) if often.due(step)] == [2, 4, 5]
    last = open_validator(settings_for(steps=5, validation={"data": str(shards)}), None)
    assert [step for step in range(1, 6) if last.due(step)] == [5] and open_validator(settings_for(), None) is None
    assert len(last.classes) == 24
    assert not open_validator(settings_for(label="crop", validation={"data": str(shards)}), None).classes


def test_other_processes_wait_and_spread_weights_are_left_alone(settings_for, shards, monkeypatch):
    waited = []
    validator = open_validator(settings_for(validation={"data": str(shards)}), None)
    fabric = SimpleNamespace(is_global_zero=False, barrier=lambda: waited.append(1))
    assert validator.measure(nn.Linear(1, 1), {}, 1, fabric) == [] and waited == [1]
    monkeypatch.setattr("geolangbind.train.validate.DTensor", nn.Parameter)
    fabric.is_global_zero = True
    with pytest.warns(UserWarning, match="validation is skipped: the weights are spread over processes"):
        assert validator.measure(nn.Linear(1, 1), {}, 1, fabric) == [] and waited == [1]


def test_impossible_validations_are_refused(settings_for, shards):
    with pytest.raises(DataError, match=r"has no stream with .*'hsi'"):
        open_validator(settings_for(modalities=["hsi"], validation={"data": str(shards)}), None)
    for wrong, message in (
        ({"validation": {"every": -1}}, "must not be negative"),
        ({"validation": {"samples": 0}}, "must be above 0"),
        ({"best_metric": "validation/top1", "validation": {"data": "x", "every": 1}}, "use one of validation/zero_shot"),
        ({"best_metric": "validation/zero_shot"}, "needs validation.data and validation.every, at most checkpoint_every"),
        ({"best_metric": "validation/zero_shot", "validation": {"data": "x", "every": 9}, "checkpoint_every": 5}, "at most"),
    ):
        with pytest.raises(SettingsError, match=message):
            settings_for(**wrong)
