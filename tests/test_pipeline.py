"""The main job end to end in seconds: planet, base, teachers, features, two branches, merge, zero-shot, report."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import geolangbind
from geolangbind.checkpoint import file_sha256
from geolangbind.data.shards import ShardSet
from geolangbind.demo import run as demo
from geolangbind.errors import SettingsError
from geolangbind.planet.groups import CLASSES, MODALITIES
from geolangbind.planet.write import write_planet


def in_one_process(*args, **named):
    """Starting workers costs more than drawing these few scenes."""
    return write_planet(*args, **{**named, "workers": 1})


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    threads = torch.get_num_threads()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("geolangbind.demo.stages.write_planet", in_one_process)
            assert demo.run_demo("smoke", folder, seed=0, threads=1) == folder / "report.json"
    finally:
        torch.set_num_threads(threads)
    return folder


@pytest.fixture(scope="module")
def report(out):
    return json.loads((out / "report.json").read_text())


def test_the_report_has_every_number(report):
    assert report["chance"] == 1 / len(CLASSES) and report["synthetic"] is True and report["classes"] == len(CLASSES)
    assert set(report["ceiling"]) == set(MODALITIES) and all(report["chance"] < top <= 1 for top in report["ceiling"].values())
    assert {"base", "rgb", "others", "merged"} <= set(report["zero_shot"])
    for name, scores in report["zero_shot"].items():
        assert set(scores) == set(MODALITIES), name
        for modality, share in scores.items():
            low, high = report["interval"][name][modality]
            assert 0 <= low <= share <= high <= 1 and report["n"][modality] > 0, name


def test_rows_repeat_the_report(out, report):
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert all(row["synthetic"] and row["value"] == report["zero_shot"][Path(row["model"]).name][row["modality"]] for row in rows)
    (fingerprint,) = {row["revision"] for row in rows}
    assert fingerprint == ShardSet.open(out / "planet-val").fingerprint
    weights = {Path(row["model"]).name: row["model_sha256"] for row in rows}
    assert weights["merged"] == file_sha256(out / "merged" / "model.safetensors") and len(set(weights.values())) == len(weights)


def test_the_report_can_be_read_and_seen(out, report):
    text = (out / "report.md").read_text()
    assert "synthetic" in text and "| merged |" in text and f"{100 * report['chance']:.1f}" in text
    pictures = sorted(out.glob("*.png"))
    assert [path.name for path in pictures] == ["accuracy.png", "curves.png", "pictures.png"]
    for path in pictures:
        with Image.open(path) as picture:
            assert min(picture.size) >= 300 and f"({path.name})" in text


def test_the_merged_model_knows_its_parents_and_is_their_average(out):
    config = json.loads((out / "merged" / "config.json").read_text())
    told = {Path(parent["path"]).name: parent for parent in config["parents"]}
    assert {"base", "rgb", "others"} <= {name if name != "model" else Path(told[name]["path"]).parent.name for name in told}
    base, rgb, others, merged = (geolangbind.load(out / name) for name in ("base", "rgb", "others", "merged"))
    assert set(merged.trained_sensors) == set(rgb.trained_sensors) | set(others.trained_sensors)
    for name in ("vision.blocks.0.mlp.fc1.weight", "logit_scale"):
        b, r, o, m = (model.towers.state_dict()[name].double() for model in (base, rgb, others, merged))
        step = b + 0.9 * (r - b)
        torch.testing.assert_close(m, step + 0.5 * (o - step), rtol=0, atol=1e-6)
    vectors = merged.encode_text(["a satellite image of a harbour", "forest"])
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_branches_keep_the_text_tower_and_statistics_of_the_base(out):
    base, *branches = (geolangbind.load(out / name) for name in ("base", "rgb", "others"))
    for branch in branches:
        assert branch.statistics == base.statistics and branch.trained_words == base.trained_words
        assert all(
            torch.equal(value, branch.towers.state_dict()[name])
            for name, value in base.towers.state_dict().items()
            if name.startswith("text.")
        )
        assert any(not torch.equal(value, branch.towers.state_dict()[name]) for name, value in base.towers.state_dict().items())
    assert len(base.trained_sensors) >= len(MODALITIES)


def test_training_and_held_out_scenes_are_different(out):
    train, held = ({key for shard in ShardSet.open(out / name).index.shards for key in shard.keys} for name in ("planet", "planet-val"))
    assert train and held and not train & held


def test_a_second_call_does_nothing_but_score(out, report, monkeypatch, capsys):
    before = {
        path: path.stat().st_mtime_ns
        for path in out.rglob("*.safetensors")
        if path.relative_to(out).parts[0] in ("base", "rgb", "others", "merged")
    }
    assert len(before) >= 4
    for name in ("train", "write_planet", "train_teacher", "add_features"):
        monkeypatch.setattr(f"geolangbind.demo.stages.{name}", lambda *_, **__: pytest.fail("must not run again"))
    demo.run_demo("smoke", out, seed=0, threads=1)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    again = json.loads((out / "report.json").read_text())
    assert again["zero_shot"] == report["zero_shot"] and again["ceiling"] == report["ceiling"]
    assert "merged" in capsys.readouterr().out


def test_two_demos_in_one_folder_are_refused(out):
    with pytest.raises(SettingsError, match="holds a demo of"):
        demo.run_demo("smoke", out, seed=1, threads=1)
