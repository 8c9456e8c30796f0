"""`geolangbind sweep | soup` as typed."""

import json

import pytest

from geolangbind.weights.load import load


@pytest.fixture
def parents(models):
    return [text for role, folder in models.items() for text in (f"--{role}", folder)]


@pytest.mark.parametrize("command", ["sweep", "soup"])
def test_help_teaches(typed_flat, command):
    code, out, _ = typed_flat(command, "--help")
    assert code == 0 and f"Example: geolangbind {command}" in out


def test_sweep(typed_flat, parents, shards, tmp_path):
    out = tmp_path / "sweep"
    code, told, err = typed_flat("sweep", *parents, "--m1", "0.9", "--m2", "0:1:0.5", "--data", shards, "--out", out)
    assert code == 0 and "(synthetic data)" in told and "0.9 / 0.5" in told and "Best mean over 2 modalities" in told
    assert "heatmap.png, inputs.json, points.jsonl, sweep.json, sweep.md" in told and "sweep" in err
    found = json.loads((out / "sweep.json").read_text())
    assert (found["m1"], found["m2"], found["measured"]) == ([0.9], [0.0, 0.5, 1.0], 3)
    assert found["command"].startswith("geolangbind sweep --base") and found["inputs"]["data"]["path"] == str(shards)
    code, _, err = typed_flat("sweep", *parents, "--data", shards, "--out", out, "--generator", "last")
    assert code == 2 and "other inputs (generator differ" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--m1", "0:2:1"], "--m1 0:2:1: 2 lies outside 0 to 1"),
        (["--m2", "0:1:0.3"], "--m2 0:1:0.3: steps of 0.3 from 0 do not meet 1"),
        (["--suite", "rsmeb"], "unknown --suite rsmeb; suites are planet"),
        (["--generator", "first"], "--generator is 'first'; a sweep knows average, last"),
    ],
)
def test_nonsense_is_one_line_and_writes_nothing(typed_flat, parents, tmp_path, arguments, told):
    code, out, err = typed_flat("sweep", *parents, "--out", tmp_path / "sweep", *arguments)
    assert (code, out) == (2, "") and told in err and "Traceback" not in err
    assert not (tmp_path / "sweep").exists()


def test_absent_models_and_shards(typed_flat, parents, models, shards, tmp_path):
    code, _, err = typed_flat("sweep", "--base", tmp_path / "absent", "--data", shards, "--out", tmp_path / "sweep")
    assert code == 1 and "no model at" in err
    code, _, err = typed_flat("sweep", *parents, "--data", tmp_path / "absent", "--out", tmp_path / "sweep")
    assert code == 1 and "index" in err
    code, _, err = typed_flat("sweep", *parents, "--data", shards, "--label", "crop", "--out", tmp_path / "sweep")
    assert code == 1 and "has a label 'crop'" in err
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(("flags", "tried"), [([], 3), (["--uniform"], 1)])
def test_soup(typed_flat, models, shards, tmp_path, flags, tried):
    given = [models["others"], models["base"]]
    with_elevation = [*given, "--data", shards, "--out", tmp_path / "soup", *flags]
    code, _, err = typed_flat("soup", *with_elevation)
    assert code == 0, err
    told = json.loads((tmp_path / "soup" / "soup.json").read_text())
    assert len(told["scores"]) == tried and load(tmp_path / "soup").provenance["command"].startswith("geolangbind soup")
    code, _, err = typed_flat("soup", *with_elevation)
    assert code == 1 and "exists" in err
    assert typed_flat("soup", *with_elevation, "--overwrite")[0] == 0
    code, _, err = typed_flat("soup", given[0], "--out", tmp_path / "other", "--data", shards)
    assert code == 2 and "at least two different models" in err
