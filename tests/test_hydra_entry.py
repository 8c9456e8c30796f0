"""Overrides: what is misspelt gives one line with the nearest key, before Hydra sees it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from geolangbind.errors import DataError, SettingsError
from geolangbind.hydra_entry import compose, fail, run

COMMAND = Path(sys.executable).with_name("geolangbind-train")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stepz=3", "unknown setting 'stepz'; did you mean 'steps'?"),
        ("lr=1e-3", "unknown setting 'lr'; did you mean 'optim.lr'?"),
        ("precision=32-true", "did you mean 'machine.precision'?"),
        ("optim.warmup=3", "did you mean 'optim.warmup_steps'?"),
        ("sensorgroup=rgb", "did you mean 'sensor_group'?"),
        ("zzz=1", "unknown setting 'zzz'; keys are augment, batch_size, .*train_text"),
        ("sensor_group=xyz", "Available options in 'sensor_group': all dem hsi ir msi others published_all published_others rgb sar$"),
        ("rgb", "'rgb' is not of the form key=value"),
        ("data=a(b", "cannot read data=a\\(b: .*put quotes around"),
    ],
)
def test_a_wrong_override_is_one_line_with_the_way_out(override, message):
    with pytest.raises(SettingsError, match=message) as caught:
        compose("train", [override])
    assert "\n" not in str(caught.value) and "hydra.cc" not in str(caught.value)


def test_entries_that_users_bring_need_a_plus():
    told = re.escape("unknown setting 'sources.s.weight'; what sources does not have yet is added with a plus: +sources.s.weight=1")
    with pytest.raises(SettingsError, match=f"^{told}$"):
        compose("interleaved", ["sources.s.weight=1"])
    assert compose("interleaved", ["+sources.s.weight=1"])["sources"] == {"s": {"weight": 1}}
    with pytest.raises(SettingsError, match=r"with a plus: \+backbone.config.hidden_size=8$"):
        compose("interleaved", ["backbone.config.hidden_size=8"])
    with pytest.raises(SettingsError, match="did you mean 'sources'"):
        compose("interleaved", ["sourcess=1"])


def test_overrides_are_applied_and_references_resolved():
    config = compose("train", ["sensor_group=others", "optim.lr=0.5", "optim=finetune", "+note=mine"])
    assert (config["run_dir"], config["optim"]["lr"], config["optim"]["warmup_steps"], config["note"]) == ("runs/others", 0.5, 20, "mine")
    assert set(config["sensor_group"]["modalities"]) == {"sar", "msi", "hsi", "ir", "dem"} and "hydra" not in config


def test_keys_that_a_choice_brings_can_be_overridden():
    config = compose("train", ["teachers=planet", "teachers.choices.scene.weight=2", "teachers.choices.scene.source=runs/t"])
    assert config["teachers"]["choices"]["scene"] == {"source": "runs/t", "weight": 2}
    with pytest.raises(SettingsError, match="unknown setting"):
        compose("train", ["teachers.choices.scene.weight=2"])


def test_quoted_paths_may_hold_any_sign():
    assert compose("train", ["data='my (old) shards, [1]'"])["data"] == "my (old) shards, [1]"


def test_an_overlay_goes_before_the_values_and_behind_what_is_typed():
    config = compose("train", ["debug=one_step", "batch_size=3"])
    assert (config["steps"], config["batch_size"]) == (1, 3)


@pytest.mark.parametrize(("error", "code"), [(SettingsError("no [data] here"), 2), (DataError("no [data] here"), 1)])
def test_failures_are_one_line_on_stderr_and_an_exit_code(error, code, capsys):
    with pytest.raises(SystemExit) as caught:
        fail(error)
    told = capsys.readouterr()
    assert (caught.value.code, told.out, told.err) == (code, "", "error: no [data] here\n")


@pytest.mark.parametrize("typed", ["--cfg job stepz=3", "-m sensor_group=rgb,others stepz=3", "seed=1 stepz=3 -c job"])
def test_a_misspelt_command_line_never_reaches_hydra(monkeypatch, capsys, typed):
    monkeypatch.setattr(sys, "argv", ["geolangbind-train", *typed.split(" ")])
    with pytest.raises(SystemExit) as caught:
        run("train", lambda config: pytest.fail("must not run"))
    assert caught.value.code == 2 and capsys.readouterr().err == "error: unknown setting 'stepz'; did you mean 'steps'?\n"


@pytest.mark.parametrize("failing", [False, True])
def test_the_action_gets_plain_values(monkeypatch, capsys, tmp_path, failing):
    monkeypatch.chdir(tmp_path)
    got = []

    def action(config):
        got.append(config)
        if failing:
            raise DataError("broken shard")

    monkeypatch.setattr(sys, "argv", ["geolangbind-train", "sensor_group=sar", "steps=7"])
    if failing:
        with pytest.raises(SystemExit, match="1"):
            run("train", action)
        assert capsys.readouterr().err == "error: broken shard\n"
    else:
        run("train", action)
    assert type(got[0]) is dict and (got[0]["steps"], got[0]["run_dir"]) == (7, "runs/sar")
    assert list(tmp_path.iterdir()) == []  # Hydra leaves no log and no folder behind


def test_several_runs_at_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folders = []
    words = ["-m", "sensor_group=rgb,others", "seed=range(1,3)", "+note=[a,b]"]
    monkeypatch.setattr(sys, "argv", ["geolangbind-train", *words])
    run("train", lambda config: folders.append((config["run_dir"], config["seed"], config["note"])))
    assert folders == [(f"runs/{name}", seed, ["a", "b"]) for name in ("rgb", "others") for seed in (1, 2)]
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")] == ["runs/multirun.yaml"]


def test_the_command_prints_its_configuration_and_leaves_no_files(tmp_path):
    done = subprocess.run(
        [COMMAND, "--cfg", "job", "sensor_group=rgb"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load(done.stdout)
    assert config["sensor_group"] == {"name": "rgb", "modalities": {"rgb": 1}} and config["seed"] == 0
    assert list(tmp_path.iterdir()) == []


def test_the_task_that_is_typed_chooses_the_configuration(monkeypatch, capsys):
    from geolangbind import commands

    seen = []
    monkeypatch.setattr("geolangbind.hydra_entry.run", lambda name, action: seen.append((name, action.__name__)))
    for words in ([], ["task=interleaved", "steps=3"], ["-m", "seed=1,2", "task=interleaved"], ["--cfg", "job", "task=alignment"]):
        monkeypatch.setattr(sys, "argv", ["geolangbind-train", *words])
        commands.train()
    assert seen == [(name, f"_train{'_interleaved' * (name != 'train')}") for name in ("train", "interleaved", "interleaved", "train")]
    monkeypatch.setattr(sys, "argv", ["geolangbind-train", "task=interlaced"])
    with pytest.raises(SystemExit):
        commands.train()
    assert capsys.readouterr().err == "error: task is 'interlaced'; use one of alignment, interleaved\n" and len(seen) == 4


@pytest.mark.parametrize(
    ("words", "told"), [("--cfg job task=interleaved steps=3", "steps: 3"), ("task=interleaved --help", "optim: default")]
)
def test_hydras_own_options_work_for_the_interleaved_task(monkeypatch, capsys, words, told):
    from geolangbind import commands

    monkeypatch.setattr(sys, "argv", ["geolangbind-train", *words.split(" ")])
    try:
        commands.train()
    except SystemExit as left:
        assert not left.code
    assert told in capsys.readouterr().out


def test_help_lists_the_groups(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["geolangbind-train", "--help"])
    with pytest.raises(SystemExit, match="0"):
        run("train", lambda config: pytest.fail("must not run"))
    told = capsys.readouterr().out
    assert all(name in told for name in ("sensor_group", "teachers", "optim", "machine", "others", "batch_size"))
