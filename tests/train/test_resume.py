"""What may change between two starts of a run and what may not; told without training anything."""

import json
from dataclasses import asdict

import pytest
import yaml

from geolangbind.errors import SettingsError
from geolangbind.train.resume import TOOL, changed_settings, check_resumable, claimed, is_finished, resume


@pytest.fixture
def started(settings_for, tmp_path):
    """`started(step, **changes)`: a run folder as a start leaves it, with a checkpoint after `step` steps; the settings."""

    def make(step=4, **changes):
        settings = settings_for(**{"steps": 6, **changes})
        run_dir = tmp_path / "run"
        (run_dir / "checkpoints" / f"step-{step:08d}").mkdir(parents=True)
        (run_dir / "config.yaml").write_text(yaml.safe_dump(asdict(settings)))
        (run_dir / "run.json").write_text(json.dumps({"data": {"fingerprint": "abc"}, "teachers": {"scene": "folder sha256:1"}}))
        return run_dir, settings

    return make


def with_model(run_dir, **provenance):
    (run_dir / "model").mkdir()
    told = {"format": "geolangbind-model", "format_version": 1, "provenance": {"tool": TOOL, "steps": 6, **provenance}}
    (run_dir / "model" / "config.json").write_text(json.dumps(told))


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 7}, {"machine": {"workers": 2, "threads": 1, "precision": "bf16-mixed"}},
        {"checkpoint_every": 7}, {"keep_checkpoints": 5},
        {"progress": True}, {"data": "elsewhere"}, {"best_metric": "loss"}, {"deterministic": True},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_what_makes_no_other_model_may_change(started, settings_for, change):
    run_dir, _ = started()
    check_resumable(run_dir, settings_for(**{"steps": 6, **change}), "abc")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 1}, r"seed=1 \(before: 0\)"),
        ({"batch_size": 8, "seed": 2}, r"batch_size=8 \(before: 4\), seed=2 \(before: 0\)"),
        ({"optim": {"lr": 0.25}}, r"optim\.lr=0\.25 \(before: 0\.0005\)"),
        ({"ema_decay": 0.5}, r"ema_decay=0\.5"),
        ({"modalities": ["rgb", "sar"]}, r"sensor_group\.modalities\.sar=1\.0 \(before: not given\)"),
        ({"augment": {"flips": False}}, r"augment\.flips=False \(before: True\)"),
        ({"teachers": {"choices": {"scene": {}}}}, r"teachers\.choices\.scene\.projector=True \(before: not given\)"),
    ],
)
def test_what_makes_another_model_is_refused_by_name(started, settings_for, change, told):
    run_dir, _ = started()
    with pytest.raises(
        SettingsError, match=rf"{run_dir} \(step-00000004\) was trained with other settings: .*{told}.*or give another run_dir"
    ):
        check_resumable(run_dir, settings_for(**{"steps": 6, **change}), "abc")


def test_other_data_fewer_steps_and_never_are_refused(started, settings_for):
    run_dir, settings = started()
    with pytest.raises(SettingsError, match=r"was trained on other data \(abc, now xyz\); give another run_dir"):
        check_resumable(run_dir, settings, "xyz")
    with pytest.raises(SettingsError, match=r"has 4 steps already, steps=3 is less; give steps>=4, or another run_dir"):
        check_resumable(run_dir, settings_for(steps=3), "abc")
    check_resumable(run_dir, settings_for(steps=4), "abc")
    with pytest.raises(SettingsError, match=r"already holds step-00000004"):
        check_resumable(run_dir, settings_for(steps=6, resume="never"), "abc")


def test_a_folder_killed_before_its_first_checkpoint_takes_any_settings(started, settings_for):
    run_dir, _ = started()
    (run_dir / "checkpoints" / "step-00000004").rmdir()
    check_resumable(run_dir, settings_for(seed=9, resume="never"), "xyz")
    with_model(run_dir)  # but a model is not overwritten, even where its checkpoints were cleared away
    with pytest.raises(SettingsError, match=r"\(a model\) was trained with other settings: seed=9"):
        check_resumable(run_dir, settings_for(seed=9), "abc")


def test_settings_of_an_earlier_release_count_as_their_default(started, settings_for):
    run_dir, settings = started()
    written = yaml.safe_load((run_dir / "config.yaml").read_text())
    del written["ema_decay"], written["optim"]["layer_decay"]
    (run_dir / "config.yaml").write_text(yaml.safe_dump(written))
    assert changed_settings(run_dir, settings) == {}
    assert changed_settings(run_dir, settings_for(ema_decay=0.9)) == {"ema_decay": (0.0, 0.9)}
    (run_dir / "config.yaml").unlink()
    assert changed_settings(run_dir, settings_for(seed=4)) == {}


def test_files_that_cannot_be_read_are_named(started):
    run_dir, settings = started()
    (run_dir / "config.yaml").write_text("a: [1")
    with pytest.raises(SettingsError, match=r"cannot read .*config\.yaml: .*; restore it, or give another run_dir"):
        check_resumable(run_dir, settings, "abc")
    (run_dir / "run.json").write_text("{")
    with pytest.raises(SettingsError, match=r"cannot read .*run\.json: .*; restore it"):
        check_resumable(run_dir, settings, "abc")


def test_finished_is_a_model_of_all_steps(started, settings_for):
    run_dir, settings = started(6)
    assert not is_finished(run_dir, settings)
    with_model(run_dir)
    assert is_finished(run_dir, settings) and not is_finished(run_dir, settings_for(steps=8))
    (run_dir / "config.yaml").unlink()
    assert not is_finished(run_dir, settings)  # somebody else's model


def test_a_teacher_may_move_but_not_change(started, settings_for):
    run_dir, _ = started(teachers={"choices": {"scene": {"source": "/old/place"}}})
    moved = settings_for(steps=6, teachers={"choices": {"scene": {"source": "/new/place"}}})
    check_resumable(run_dir, moved, "abc")
    with pytest.raises(SettingsError, match=r"another teacher scene \(folder sha256:1, now folder sha256:2\); give it as before"):
        resume(run_dir, moved, {"scene": "folder sha256:2"}, None, None, True)
    with pytest.raises(SettingsError, match=r"teachers\.choices\.scene\.source=.* \(before: /old/place\)"):
        check_resumable(run_dir, settings_for(steps=6, teachers={"choices": {"scene": {}}}), "abc")


def test_a_folder_is_claimed_by_one_training(tmp_path):
    with claimed(tmp_path / "run", True):
        with pytest.raises(SettingsError, match="another process trains in this folder"), claimed(tmp_path / "run", True):
            pass
        with claimed(tmp_path / "run", False):
            pass
    with claimed(tmp_path / "run", True):
        assert list((tmp_path / "run").iterdir()) == []
    assert not (tmp_path / "run").exists()
