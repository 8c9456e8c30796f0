"""Whole runs of six steps: they resume bit by bit, and leave behind what is needed to repeat them."""

import json
from hashlib import sha256

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

import geolangbind
from geolangbind.checkpoint import file_sha256
from geolangbind.data.shards import ShardSet
from geolangbind.errors import CheckpointError, DataError, SettingsError
from geolangbind.train import loop
from geolangbind.train import run as running
from geolangbind.train.run import choose_streams, feature_shapes, train
from geolangbind.train.settings import SensorGroup

WEIGHTS = "model/model.safetensors"
ALL = {"modalities": ["rgb", "sar", "dem"]}
MAKA = {"teachers": {"choices": {"scene": {}, "register": {}}}}


class Stopped(Exception):
    """Stands for a power cut."""


@pytest.fixture
def interrupted(monkeypatch):
    """`interrupted(settings, step)`: train until the batch of a step is asked for."""
    real = running.make_loader

    def go(settings, step):
        def loader(*args, start_step, **named):
            for number, batch in enumerate(real(*args, start_step=start_step, **named), start_step):
                if number == step:
                    raise Stopped
                yield batch

        with monkeypatch.context() as patch:
            patch.setattr(running, "make_loader", loader)
            with pytest.raises(Stopped):
                train(settings)

    return go


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def stripped(rows):
    return [{name: value for name, value in row.items() if name not in ("samples_per_s", "data_wait")} for row in rows]


@pytest.mark.parametrize("machine", [{"precision": "32-true"}, {"precision": "bf16-mixed", "workers": 2}], ids=["fp32", "bf16, 2 workers"])
def test_an_interrupted_run_ends_where_an_unbroken_one_ends(settings_for, tmp_path, interrupted, machine):
    common = {"steps": 6, "checkpoint_every": 3, "ema_decay": 0.5, "train_text": True, "machine": machine, **ALL, "deterministic": True}
    try:
        train(settings_for(run_dir=str(tmp_path / "straight"), **{**common, "machine": {"precision": machine["precision"]}}))
        broken = settings_for(run_dir=str(tmp_path / "broken"), **common)
        interrupted(broken, 4)
        assert not (tmp_path / "broken" / "model").exists() and len(rows_of(tmp_path / "broken")) == 4
        train(broken)
    finally:
        torch.use_deterministic_algorithms(False)
    straight, resumed = tmp_path / "straight", tmp_path / "broken"
    assert (straight / WEIGHTS).read_bytes() == (resumed / WEIGHTS).read_bytes()
    assert [row["step"] for row in rows_of(resumed)] == [1, 2, 3, 4, 5, 6]
    assert stripped(rows_of(straight)) == stripped(rows_of(resumed))
    told = [json.loads((folder / "model" / "config.json").read_text()) for folder in (straight, resumed)]
    assert told[0] == told[1] and told[0]["trained_words"]


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")  # more than some machines have cores
def test_reruns_and_loader_workers_change_nothing(settings_for, tmp_path):
    """Two runs alike, and two and four reading processes: one model, one log, with teachers, augmentation and band drawing."""
    drawn = {"most_bands": 2, "image_gain": 0.3, "band_gain": 0.2, "contrast": 0.2}
    common = {"steps": 4, "train_text": True, "ema_decay": 0.5, "augment": drawn, "deterministic": True, **ALL, **MAKA}
    found = {}
    try:
        for name, workers in (("first", 0), ("again", 0), ("two", 2), ("four", 4)):
            folder = tmp_path / name
            train(settings_for(run_dir=str(folder), machine={"workers": workers}, **common))
            found[name] = (file_sha256(folder / WEIGHTS), stripped(rows_of(folder)))
    finally:
        torch.use_deterministic_algorithms(False)
    assert found["first"] == found["again"] == found["two"] == found["four"]
    assert [row["step"] for row in found["first"][1]] == [1, 2, 3, 4]


def test_other_seeds_are_other_models(settings_for, tmp_path):
    models = [train(settings_for(steps=1, seed=seed, run_dir=str(tmp_path / str(seed)))) for seed in (0, 1)]
    assert len({file_sha256(model / "model.safetensors") for model in models}) == 2


def test_the_run_folder_says_how_to_repeat_it(settings_for, tmp_path, shards, monkeypatch):
    monkeypatch.setattr("sys.argv", ["geolangbind-train", "sensor_group=rgb"])
    settings = settings_for(steps=2, seed=5, optim={"lr": 3e-4}, **ALL)
    folder = train(settings)
    run_dir = tmp_path / "run"
    assert folder == run_dir / "model"
    assert {path.name for path in run_dir.iterdir()} == {
        "config.yaml", "run.json", "metrics.jsonl", "tensorboard", "model", "checkpoints",
    }  # fmt: skip
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    assert (config["seed"], config["optim"]["lr"], config["machine"]["precision"]) == (5, 3e-4, "32-true")
    from geolangbind.train.settings import from_config

    assert from_config(config) == settings  # the file alone starts the run again
    record = json.loads((run_dir / "run.json").read_text())
    assert record["command"] == "geolangbind-train sensor_group=rgb"
    assert {"python", "geolangbind", "timm", "numpy"} <= set(record["versions"])
    assert record["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert record["data"] == {"folder": str(shards), "fingerprint": ShardSet.open(shards).fingerprint}
    model = geolangbind.load(run_dir)
    assert model.provenance["data_fingerprint"] == record["data"]["fingerprint"]
    assert (model.provenance["steps"], model.provenance["seed"], model.provenance["sensor_group"]) == (2, 5, "rgb")
    assert model.trained_sensors == ("copernicus-dem", "sentinel-1-grd", "sentinel-2-tci") and model.gsd_m == (10.0,)
    assert set(model.statistics.kinds) == {"display", "sigma0_vv_c", "sigma0_vh_c", "gamma0_vv_c", "gamma0_vh_c", "elevation"}
    assert model.parents == [] and model.trained_words == frozenset()


def test_metrics_hold_losses_rates_and_the_waiting(settings_for, tmp_path):
    train(settings_for(steps=3, optim={"lr": 1e-3, "warmup_steps": 2}, **MAKA))
    rows = rows_of(tmp_path / "run")
    assert [row["lr"] for row in rows] == pytest.approx([5e-4, 1e-3, 1e-3])
    for row in rows:
        assert row["sensor"] == "sentinel-2-tci" and row["modality"] == "rgb" and row["samples_per_s"] > 0 and 0 <= row["data_wait"] <= 1
        assert row["loss"] == pytest.approx(row["contrastive"] + row["maka/scene"] + row["maka/register"], abs=3e-6)
    assert any(path.name.startswith("events.out.tfevents") for path in (tmp_path / "run" / "tensorboard").iterdir())


def test_a_loss_that_is_not_finite_stops_before_the_step(settings_for, tmp_path, monkeypatch):
    kept = {}
    real = loop._step

    def step(module, optimizer, batch, trained, settings, number, fabric):
        if number == 2:
            kept["before"] = [parameter.detach().clone() for parameter in trained]
            kept["trained"], kept["keys"] = trained, batch.keys
            monkeypatch.setattr("geolangbind.train.tasks.sigmoid_contrastive", lambda *_: torch.tensor(float("nan"), requires_grad=True))
        return real(module, optimizer, batch, trained, settings, number, fabric)

    monkeypatch.setattr(loop, "_step", step)
    with pytest.raises(
        DataError, match=r"step 3: contrastive, loss not finite .*batch of sentinel-2-tci \(display_u8\) with keys .*optim\.lr"
    ) as caught:
        train(settings_for(steps=6, checkpoint_every=2))
    assert all(key in str(caught.value) for key in kept["keys"][:3])
    for before, after in zip(kept["before"], kept["trained"], strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert not (tmp_path / "run" / "model").exists()
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]
    assert [row["step"] for row in rows_of(tmp_path / "run")] == [1, 2]


def test_never_resuming_refuses_a_folder_with_checkpoints(settings_for, interrupted):
    interrupted(settings_for(steps=6, checkpoint_every=2), 3)
    with pytest.raises(SettingsError, match=r"already holds step-00000002; continue it \(resume=auto\), or give another run_dir"):
        train(settings_for(steps=6, resume="never"))


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(settings_for, tmp_path, interrupted):
    interrupted(settings_for(steps=6, checkpoint_every=2), 5)
    newest = tmp_path / "run" / "checkpoints" / "step-00000004"
    (newest / "state.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"cannot continue from .*step-00000004.*SHA-256 differs.*going back to step-00000002"):
        train(settings_for(steps=6))
    assert [row["step"] for row in rows_of(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]
    assert (tmp_path / "run" / "checkpoints" / "damaged-step-00000004").is_dir()


def test_a_checkpoint_of_other_data_is_refused(settings_for, tmp_path, interrupted, shards):
    interrupted(settings_for(steps=6, checkpoint_every=2), 3)
    from geolangbind.planet.write import write_planet

    write_planet(tmp_path / "other", 4, seed=9, modalities=("rgb",), workers=1, progress=False)
    with pytest.raises(SettingsError, match="other data"):
        train(settings_for(steps=6, data=str(tmp_path / "other")))


def test_the_saved_weights_are_the_running_average(settings_for, tmp_path, monkeypatch):
    """Logged after every step and averaged again here: decay min(d, n / (n + 10)) after step n, from the weights before the first."""
    states, starts = [], []
    real, fit = loop.update_average, running.fit
    monkeypatch.setattr(running, "fit", lambda task, *rest: starts.append(float(task.towers.logit_bias.detach())) or fit(task, *rest))

    def spy(average, task, step, decay):
        states.append(float(task.towers.logit_bias.detach()))
        real(average, task, step, decay)

    monkeypatch.setattr(loop, "update_average", spy)
    folder = train(settings_for(steps=5, ema_decay=0.25, optim={"lr": 0.1, "warmup_steps": 1}))
    (average,) = starts
    for n, value in enumerate(states, 1):
        decay = min(0.25, n / (n + 10))
        average = decay * average + (1 - decay) * value
    saved = float(load_file(folder / "model.safetensors")["logit_bias"])
    assert saved == pytest.approx(average, abs=1e-5) and abs(saved - states[-1]) > 1e-3


def test_a_child_keeps_its_parents_scale_and_names_it(settings_for, tmp_path):
    parent = train(settings_for(steps=2, run_dir=str(tmp_path / "base"), train_text=True))
    before = geolangbind.load(parent)
    child = geolangbind.load(train(settings_for(steps=2, run_dir=str(tmp_path / "child"), model=str(tmp_path / "base"), **ALL, **MAKA)))
    digest = sha256((parent / "model.safetensors").read_bytes()).hexdigest()
    assert child.parents == [{"path": str(tmp_path / "base"), "sha256": digest, "role": "start"}]
    assert child.statistics.kinds["display"] == before.statistics.kinds["display"]
    assert child.statistics.bands["sentinel-2-tci/display"] == before.statistics.bands["sentinel-2-tci/display"]
    assert "elevation" in child.statistics.kinds and "elevation" not in before.statistics.kinds
    assert child.trained_words == before.trained_words and before.trained_words  # the text tower was frozen in the second run
    assert set(child.trained_sensors) > set(before.trained_sensors) == {"sentinel-2-tci"}
    assert any(name.startswith("maka.scene.") for name in child.heads) and not before.heads
    text = [name for name in before.towers.state_dict() if name.startswith("text.")]
    assert text and all(torch.equal(before.towers.state_dict()[name], child.towers.state_dict()[name]) for name in text)


def test_projectors_are_taken_over_from_the_parent(settings_for, tmp_path, monkeypatch):
    train(settings_for(steps=2, run_dir=str(tmp_path / "first"), **MAKA))
    heads = geolangbind.load(tmp_path / "first").heads
    seen = {}
    monkeypatch.setattr(running, "fit", lambda task, *_: seen.update(task.maka.state_dict()))
    monkeypatch.setattr(running, "finish", lambda model, *_: model)
    train(settings_for(steps=1, run_dir=str(tmp_path / "second"), model=str(tmp_path / "first"), teachers={"choices": {"scene": {}}}))
    assert seen and all(torch.equal(value, heads[f"maka.{name}"]) for name, value in seen.items())


def test_the_loss_falls_on_the_same_few_samples(settings_for, tmp_path):
    still = {"flips": False, "image_gain": 0, "band_gain": 0, "contrast": 0}
    settings = settings_for(steps=30, augment=still, train_text=True, optim={"lr": 2e-3, "warmup_steps": 5}, same_label="positive")
    train(settings)
    losses = [row["loss"] for row in rows_of(tmp_path / "run")]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_streams_share_the_steps_of_their_modality(shards):
    chosen, weights = choose_streams(ShardSet.open(shards), SensorGroup("x", {"rgb": 2, "sar": 3}))
    by_modality: dict[str, float] = {}
    for stream, weight in zip(chosen, weights, strict=True):
        by_modality[stream.modality] = by_modality.get(stream.modality, 0) + weight
        assert weight == pytest.approx({"rgb": 2, "sar": 3}[stream.modality] * len(stream) / 12)
    assert by_modality == pytest.approx({"rgb": 2, "sar": 3})


def test_absent_modalities_models_and_features_are_refused(settings_for, shards):
    with pytest.raises(DataError, match=r"no stream with .*'hsi'|no hsi samples"):
        train(settings_for(modalities=["hsi"]))
    with pytest.raises(SettingsError, match="model 'huge' is neither a folder, a file, hf-hub:owner/name nor a size; sizes are tiny"):
        train(settings_for(model="huge"))
    with pytest.raises(CheckpointError, match="no model at"):
        train(settings_for(model=str(shards)))
    settings = settings_for(teachers={"choices": {"dino": {}}})
    streams = ShardSet.open(shards).select(modalities=["rgb"])
    with pytest.raises(
        DataError, match=r"no features of teacher 'dino': give teachers.choices.dino.source, or run .*--teacher dino=SOURCE"
    ):
        feature_shapes(settings, streams, {})
    assert feature_shapes(settings_for(**MAKA), streams, {}) == {"scene": (16, 12), "register": (4, 8)}
