"""`geolangbind ...`: what is printed, which exit code, and that a user's failure is one line."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from geolangbind import cli
from geolangbind.data.index import load_index
from geolangbind.models import zoo
from geolangbind.planet.write import write_planet
from geolangbind.statistics import KindStatistics, Statistics

COMMANDS = [
    "sensors",
    "sensors show",
    "planet",
    "shards",
    "shards verify",
    "shards stats",
    "shards add-features",
    "classify",
    "demo",
    "study",
]


def invoke(*arguments, code=0):
    done = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "planet"
    write_planet(folder, 3, modalities=("rgb", "dem"), workers=1, progress=False)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A run folder with a random model that knows display images and three words."""
    torch.manual_seed(0)
    made = zoo.build("tiny")
    made.statistics = Statistics({"display": KindStatistics("identity", (0.4, 0.7), (0.4, 0.4), (0.2, 0.2))})
    made.trained_words = frozenset(["a", "satellite", "aerial", "image", "photo", "of", "the", "forest", "river"])
    made.gsd_m = (10.0,)
    made.save(tmp_path_factory.mktemp("run") / "model")
    return tmp_path_factory.getbasetemp() / "run0"


@pytest.fixture
def chips(tmp_path, tif) -> Path:
    for number, name in enumerate(("Forest", "Forest", "River")):
        (tmp_path / "chips" / name).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(1, 255, (3, 64, 64)).astype(np.uint8)
        tif(tmp_path / "chips" / name / f"{number}.tif", pixels)
    return tmp_path / "chips"


TCI = ("--sensor", "sentinel-2-tci", "--bands", "R,G,B")


def test_help_of_every_command():
    told = invoke("--help")
    assert all(name in told for name in ("sensors", "planet", "shards", "classify", "demo", "train", "evaluate"))
    for command in COMMANDS:
        told = invoke(*command.split(), "--help")
        assert f"{command} " in told and len(told) > 200


def test_nothing_typed_shows_help(typed):
    code, out, err = typed()
    assert code in (0, 2) and "Usage" in out + err


def test_sensors_are_listed_and_shown(monkeypatch):
    monkeypatch.setattr(cli, "console", Console(width=200))
    told = invoke("sensors")
    assert all(name in told for name in ("sentinel-2-l2a", "sentinel-1-grd", "enmap-l2a", "srtm"))
    told = invoke("sensors", "show", "s2-l2a")
    assert "sentinel-2-l2a" in told and "B8A" in told and "0.8" in told


def test_an_unknown_sensor_is_one_line_and_exit_code_one(typed):
    code, out, err = typed("sensors", "show", "sentinel-2-l2b")
    assert (code, out) == (1, "") and err.startswith("error: ") and err.count("\n") == 1
    assert "sentinel-2-l2b" in err and "sentinel-2-l2a" in err


def test_verify_says_whole_broken_or_no_shards(shards, tmp_path, typed):
    invoke("shards", "verify", shards, code=0)
    broken = shutil.copytree(shards, tmp_path / "broken")
    tar = broken / load_index(broken).shards[0].file
    data = bytearray(tar.read_bytes())
    data[700] ^= 255
    tar.write_bytes(bytes(data))
    told = invoke("shards", "verify", broken, code=1)
    assert tar.name in told.replace("\n", "")
    code, out, _ = typed("shards", "verify", broken, "--json")
    report = json.loads(out)
    assert (code, report["ok"], report["folder"]) == (1, False, str(broken))
    assert {problem["shard"] for problem in report["problems"]} == {tar.name} and all(problem["what"] for problem in report["problems"])
    whole = json.loads(typed("shards", "verify", shards, "--json")[1])
    assert whole["ok"] and whole["problems"] == [] and whole["fingerprint"] == load_index(shards).fingerprint
    code, _, err = typed("shards", "verify", tmp_path)
    assert code == 2 and err.count("\n") == 1 and "no index.json there" in err


def test_stats_name_streams_and_bands(shards):
    told = invoke("shards", "stats", shards)
    assert "sentinel-2-tci" in told and "copernicus-dem" in told and "elevation" in told


def test_planet_writes_shards(tmp_path):
    told = invoke("planet", "--out", tmp_path / "p", "--count", 2, "--modalities", "rgb", "--workers", 1)
    assert "wrote 2 samples in 1 shards" in told.replace("\n", " ").replace("  ", " ") and (tmp_path / "p" / "index.json").is_file()


def test_add_features_wants_names_and_sources(shards, typed):
    for teachers in (("timm:x",), ("a=x", "a=y")):
        code, _, err = typed("shards", "add-features", shards, *(part for name in teachers for part in ("--teacher", name)))
        assert code == 2 and "--teacher takes NAME=SOURCE" in err


def test_add_features_once_and_never_twice(shards, tmp_path, model):
    folder = shutil.copytree(shards, tmp_path / "with")
    for pairs in (2, 0):
        told = invoke("shards", "add-features", folder, "--teacher", f"siglip={model}")
        assert f"computed features for {pairs} shard-teacher pairs" in told.replace("\n", " ")
        assert all("siglip" in shard.features for shard in load_index(folder).shards)


def test_classify_a_raster(model, chips, tmp_path):
    told = invoke(
        "classify", chips / "River" / "2.tif", "--labels", "forest, river", "--model", model, *TCI, "--json", tmp_path / "out.json"
    )
    assert "2.tif" in told and "read as: sentinel-2-tci R, G, B in display_u8" in told.replace("\n", " ")
    assert "warning" not in told and "accuracy" not in told
    (guess,) = json.loads((tmp_path / "out.json").read_text())["guesses"]
    assert set(guess["scores"]) == {"forest", "river"} and sum(guess["scores"].values()) == pytest.approx(1, abs=1e-5)
    assert guess["label"] == max(guess["scores"], key=guess["scores"].get) and guess["window"] is None and guess["truth"] is None


def test_classify_a_folder_against_its_names(model, chips, tmp_path):
    more = ("--model", model, *TCI, "--truth", "folder", "--json", tmp_path / "o.json")
    told = invoke("classify", chips, "--labels", "Forest=the forest, River=a river", *more)
    guesses = json.loads((tmp_path / "o.json").read_text())["guesses"]
    assert [guess["truth"] for guess in guesses] == ["Forest", "Forest", "River"]
    right = sum(guess["truth"] == guess["label"] for guess in guesses)
    assert f"({right} of 3), 95 % Wilson interval" in told.replace("\n", " ")


def test_words_never_seen_are_warned_of(model, chips):
    told = invoke("classify", chips / "River" / "2.tif", "--labels", "forest, a harbour", "--model", model, *TCI)
    assert "warning: the text tower was trained from scratch and never saw harbour" in told.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--labels", "forest"), 2, "give at least two labels"),
        (("--labels", "gone.yaml"), 2, "--labels gone.yaml: not a card"),
        (("--labels", "forest, river", "--model", "nowhere"), 1, "no model at 'nowhere'"),
        (("--labels", "forest, river", "--sensor", "nothing"), 1, "nothing"),
        (("--labels", "river, town", "--truth", "folder"), 1, "2 images have no class among the labels"),
        (("--labels", "forest, river", "--sensor", "naip", "--bands", "R,G,X"), 1, "X"),
    ],
)
def test_unusable_arguments_are_one_line(model, chips, typed, arguments, code, message):
    wanted = (*arguments, *(() if "--model" in arguments else ("--model", model)), *(() if "--sensor" in arguments else TCI))
    found, out, err = typed("classify", chips, *wanted)
    assert (found, out, err.count("\n")) == (code, "", 1) and err.startswith("error: ") and message in err


def test_a_json_that_cannot_be_written_leaves_nothing(model, chips, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("geolangbind.evaluate.show.json.dumps", full)
    done = CliRunner().invoke(
        cli.app, ["classify", str(chips / "River"), "--labels", "a, b", "--model", str(model), *TCI, "--json", str(tmp_path / "o.json")]
    )
    assert isinstance(done.exception, OSError) and not list(tmp_path.glob("*.json*"))


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_hydra_commands_are_passed_on(monkeypatch, command):
    got = []
    monkeypatch.setattr("geolangbind.hydra_entry.run", lambda name, action: got.append((name, list(sys.argv))))
    monkeypatch.setattr(sys, "argv", ["geolangbind", command, "seed=1"])
    cli.main()
    assert got == [(command, [f"geolangbind-{command}", "seed=1"])]


def test_demo_of_an_unknown_profile(tmp_path, typed):
    code, _, err = typed("demo", "--profile", "huge", "--out", tmp_path)
    assert code == 2 and err == "error: unknown demo profile 'huge'; profiles are smoke, quick, full\n"
