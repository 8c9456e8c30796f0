"""`merge-weights verify`: untouched outputs pass; what was tampered with is named; moved parents are found by their hash."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from merge_weights import MergeError, Step, merge
from merge_weights.cli import main
from merge_weights.verify import report, to_json, verify

Weights = Callable[[int], dict[str, np.ndarray]]
Write = Callable[..., Path]
Trio = tuple[Path, Path, Path]


@pytest.fixture
def merged(trio: Trio, tmp_path: Path) -> Path:
    base, rgb, others = trio
    merge(base, [(rgb, 0.9), (others, 0.5)], tmp_path / "merged", parts={"generator": [0.9, 1.0]})
    return tmp_path / "merged"


@pytest.fixture
def merged_file(tensors: Weights, tmp_path: Path) -> Path:
    paths = [tmp_path / "files" / f"{name}.safetensors" for name in ("base", "rgb", "others")]
    paths[0].parent.mkdir()
    for seed, path in enumerate(paths):
        save_file(tensors(seed), path)
    out = tmp_path / "merged.safetensors"
    merge(paths[0], [(paths[1], 0.25), (paths[2], 0.75)], out)
    return out


def change_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def change_tensors(path: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata)


def test_untouched_folder(merged: Path, trio: Trio, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in merged.iterdir()}
    found = verify(merged)
    assert found.ok
    assert found.findings == ()
    assert found.tensors == 5
    assert [(parent.role, parent.path, parent.found) for parent in found.parents] == [
        (name, str(path), str(path)) for name, path in zip(("base", "rgb", "others"), trio, strict=True)
    ]
    assert {path: path.read_bytes() for path in merged.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged", "runs"]
    assert "ok: 5 tensors" in report(found)


def test_untouched_file(merged_file: Path, tmp_path: Path) -> None:
    assert verify(merged_file).ok
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "merged.safetensors"]


def test_file_out_of_a_merged_folder_is_recomputed_from_the_parents_weights(merged: Path) -> None:
    assert verify(merged / "model.safetensors").ok


@pytest.mark.parametrize(
    "settings",
    [
        {"skip": ["vision.blocks.*"], "keep_heads": True, "missing": "copy"},
        {"method": "ties", "density": 0.5},
        {"method": "dare", "density": 0.5, "seed": 7},
        {"shard_bytes": 64},
        {"routes": ["rgb"]},
    ],
)
def test_every_recorded_setting_is_used_again(
    tensors: Weights, write_model: Write, trio: Trio, tmp_path: Path, settings: dict[str, Any]
) -> None:
    extra = write_model("extra", {**tensors(3), "maka.w": np.ones(3, np.float32)})
    steps = [Step("rgb", trio[1], 0.5, {"blocks": 0.25}), Step("extra", extra, 0.4)]
    merge(trio[0], steps, tmp_path / "merged", **settings)
    assert verify(tmp_path / "merged").findings == ()


def test_tampered_tensors_are_named(merged: Path) -> None:
    def tamper(weights: dict[str, np.ndarray]) -> None:
        weights["vision.blocks.0.weight"][2, 3] = np.nextafter(weights["vision.blocks.0.weight"][2, 3], np.float32(9))  # by one unit
        weights["logit_scale"] = np.zeros(1, np.float32)
        weights["new"] = weights.pop("text.weight")

    change_tensors(merged / "model.safetensors", tamper)
    found = verify(merged)
    assert not found.ok
    assert found.tensors == 5
    starts = ["tensor logit_scale is F32 [1] instead of F32 []", "tensor new is not in the recomputed", "tensor text.weight is missing"]
    assert all(finding.startswith(start) for finding, start in zip(found.findings, starts, strict=False))
    assert found.findings[3].startswith("tensor vision.blocks.0.weight differs: SHA-256 ")
    assert len(found.findings) == 4


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda config: config["preprocessing"].update(image_size=96), "preprocessing.image_size: 96 != 64"),
        (lambda config: config["trained_sensors"].append("sentinel-1"), 'trained_sensors: ["aerial-rgb", "sentinel-1"] != ["aerial-rgb"]'),
        (lambda config: config["parents"][1].update(coefficient=0.8), "parents.rgb.coefficient: 0.8 != 0.9"),
        (lambda config: config["provenance"].update(formula="theta = magic"), 'provenance.formula: "theta = magic" != '),
    ],
)
def test_tampered_configuration_is_named(merged: Path, change: Callable[[dict[str, Any]], object], finding: str) -> None:
    change_config(merged, change)
    (found,) = verify(merged).findings
    assert found.startswith(f"config.json differs from the recomputed one in {finding}")


def test_date_command_version_and_card_may_differ(merged: Path) -> None:
    change_config(merged, lambda config: config["provenance"].update(date="2020-01-01", command="by hand", version="0.0.1"))
    (merged / "README.md").write_text("my model")
    assert verify(merged).ok
    change_config(merged, lambda config: config.update(architecture={}))
    assert verify(merged).findings[-1].startswith("it was merged by version 0.0.1 of merge-weights, this is ")


def test_tokenizer_is_compared(merged: Path) -> None:
    (merged / "tokenizer.json").write_bytes(b"[]")
    assert verify(merged).findings == ("tokenizer.json is not that of the parents",)


def test_another_coefficient_in_the_record_changes_the_tensors(merged_file: Path) -> None:
    with safe_open(merged_file, "numpy") as file:
        told = json.loads(file.metadata()["geolangbind"])
    told["merge"]["steps"][1]["coefficient"] = 0.7
    save_file(load_file(merged_file), merged_file, {"geolangbind": json.dumps(told)})
    findings = verify(merged_file).findings
    assert [finding.split()[1] for finding in findings[:-1]] == [
        "logit_scale",
        "vision.attn_pool.probe",
        "vision.blocks.0.weight",
        "vision.patch_embed.weight",
    ]
    assert findings[-1] == "the metadata differs from the recomputed one in parents.others.coefficient: 0.75 != 0.7"


def test_changed_parent_is_named_and_nothing_is_recomputed(merged: Path, trio: Trio, tensors: Weights) -> None:
    save_file(tensors(9), trio[1] / "model" / "model.safetensors")
    found = verify(merged)
    assert found.tensors == 0
    assert [parent.found is None for parent in found.parents] == [False, True, False]
    (finding,) = found.findings
    assert finding.startswith(f"rgb: {trio[1]} has changed, its SHA-256 is ")
    assert finding.endswith("if it was moved, give --look-in FOLDER")
    assert f"not found (was {trio[1]})" in report(found)


def test_moved_parents_are_found_by_their_hash(merged: Path, trio: Trio, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(trio[2], archive / "a" / "rgb")  # the right name with other weights
    shutil.move(trio[1], archive / "b" / "renamed")
    (archive / "c").mkdir()
    (archive / "c" / "config.json").write_text("{}")
    (archive / "c" / "model.safetensors").write_bytes(b"damaged")
    assert not verify(merged).ok
    found = verify(merged, look_in=[archive])
    assert found.ok
    assert found.parents[1].found == str(archive / "b" / "renamed" / "model")
    assert f"{archive / 'b' / 'renamed' / 'model'} (was {trio[1]})" in report(found)


def test_moved_files_are_found_and_parents_that_moved_along_need_no_hint(merged_file: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "files", tmp_path / "elsewhere")
    assert "not found" in report(verify(merged_file))
    assert verify(merged_file, look_in=[tmp_path / "elsewhere"]).ok
    shutil.move(merged_file, tmp_path / "elsewhere" / "m.safetensors")
    assert verify(tmp_path / "elsewhere" / "m.safetensors").ok


def test_gone_parent(merged: Path, trio: Trio, tmp_path: Path) -> None:
    shutil.rmtree(trio[0])
    (finding,) = verify(merged, look_in=[tmp_path / "runs"]).findings
    assert finding == f"base: {trio[0]} does not exist; not in {tmp_path / 'runs'} either"
    with pytest.raises(MergeError, match=r"--look-in .*nowhere is no folder"):
        verify(merged, look_in=[tmp_path / "nowhere"])


def test_parents_that_no_longer_fit_together(merged: Path, trio: Trio, tmp_path: Path) -> None:
    change_config(trio[2] / "model", lambda config: config["preprocessing"].update(image_size=96))
    with pytest.raises(MergeError, match=r"cannot recompute .*preprocessing\.image_size: 96 != 64"):
        verify(merged)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged", "runs"]


def test_models_that_record_too_little(merged: Path, merged_file: Path, trio: Trio) -> None:
    change_config(merged, lambda config: config["provenance"].pop("merge"))
    with pytest.raises(MergeError, match="does not record enough to be verified"):
        verify(merged)
    with pytest.raises(MergeError, match="does not record enough to be verified"):
        verify(trio[0])
    save_file(load_file(merged_file), merged_file)
    with pytest.raises(MergeError, match=r"the metadata of .* lacks the arguments of its merge"):
        verify(merged_file)
    save_file(load_file(merged_file), merged_file, {"geolangbind": "{"})
    with pytest.raises(MergeError, match=r"the metadata of .* is damaged"):
        verify(merged_file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.update(parents=[1]), "each of its parents needs role, path and sha256"),
        (lambda config: config["parents"].pop(), "the steps of its merge do not match its parents"),
        (lambda config: config["provenance"]["merge"].update(steps=None), "do not match its parents"),
        (lambda config: config["provenance"]["merge"]["steps"][0].update(coefficient="1"), "do not match its parents"),
        (lambda config: config["provenance"]["merge"]["steps"][0].update(parts={"blocks": None}), "do not match its parents"),
        (lambda config: config["provenance"]["merge"].update(missing="guess"), "missing 'guess'"),
        (lambda config: config["provenance"]["merge"].update(seed=True), "seed True"),
        (lambda config: config["provenance"]["merge"].update(overwrite=True), "overwrite True"),
    ],
)
def test_damaged_records_are_refused(merged: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    change_config(merged, change)
    with pytest.raises(MergeError, match=message):
        verify(merged)


def test_work_dir(merged: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with pytest.raises(MergeError, match=r"cannot write to .*work: No such file or directory; give --work-dir"):
        verify(merged, work_dir=work)
    work.mkdir()
    assert verify(merged, work_dir=work).ok
    assert list(work.iterdir()) == []


def test_interruption_leaves_nothing(merged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("merge_weights.tensors.equal_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        verify(merged)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged", "runs"]


def test_command(merged: Path, trio: Trio, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(merged)]) == 0
    assert capsys.readouterr().out.endswith(f"ok: 5 tensors of {merged} are exactly what its parents give\n")
    for index in range(20):
        change_tensors(
            merged / "model.safetensors", lambda weights, name=f"extra{index:02d}": weights.update({name: np.ones(1, np.float32)})
        )
    assert main(["verify", str(merged)]) == 1
    out = capsys.readouterr().out
    assert f"not verified: {merged}\n  tensor extra00 is not in the recomputed model" in out
    assert out.endswith("and 8 more; --json lists all\n")
    assert main(["verify", str(merged), "--json", "--work-dir", str(tmp_path), "--look-in", str(tmp_path)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert len(told["findings"]) == 20
    assert told["parents"][0]["found"] == str(trio[0])
    assert main(["verify", str(trio[0])]) == 1
    assert capsys.readouterr().err.startswith("merge-weights: ")
    assert json.loads(to_json(verify(merged)))["tensors"] == 5


def test_help_needs_no_numpy() -> None:
    code = (
        "import sys\nfrom merge_weights.cli import main\n"
        "try:\n    main(['verify', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'numpy' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--look-in" in done.stdout
