"""Publishing to a hub on this machine: what is sent, what is refused, what comes back."""

import hashlib
import json

import pytest
import torch
import yaml

from geolangbind.errors import CheckpointError
from geolangbind.weights.hub import fetch
from geolangbind.weights.load import load
from geolangbind.weights.push import prepare, push

FOUR = ["README.md", "config.json", "model.safetensors", "tokenizer.json"]


@pytest.fixture
def folder(small_model, tmp_path):
    return small_model().save(tmp_path / "run" / "model")


def digest(path):
    return hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()


def row(sha256, **changes):
    row = {"model": "runs/x", "model_sha256": sha256, "suite": "zero_shot", "dataset": "eurosat", "modality": "msi", "metric": "top1"}
    return {**row, "value": 0.625, "low": 0.6, "high": 0.65, "n": 27, "chance": 0.1, "synthetic": False, "command": "eval x", **changes}


def write_rows(path, *rows):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in rows))
    return path


def header(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_what_is_pushed_comes_back_byte_by_byte(hub, log_in, folder):
    log_in()
    (folder / "optimizer.pt").write_bytes(b"not for the world")
    url = push(folder.parent, "earth/mine", message="First")
    assert url == f"{hub.endpoint}/earth/mine"
    assert sorted(hub.repos["earth/mine"]["main"]) == FOUR
    fetched = fetch("hf-hub:earth/mine")
    assert sorted(path.name for path in fetched.iterdir()) == FOUR
    for name in FOUR:
        assert (fetched / name).read_bytes() == (folder / name).read_bytes(), name
    again, mine = load("hf-hub:earth/mine"), load(folder)
    assert torch.equal(again.encode_text(["a lake"]), mine.encode_text(["a lake"]))
    card = (fetched / "README.md").read_text()
    assert 'geolangbind.load("hf-hub:earth/mine")' in card and header(card)["library_name"] == "geolangbind"


def test_pushing_again_to_a_branch(hub, log_in, folder, small_model, tmp_path):
    log_in()
    push(folder, "earth/mine")
    other = small_model(seed=1).save(tmp_path / "other")
    assert push(other, "earth/mine", revision="v2") == f"{hub.endpoint}/earth/mine/tree/v2"
    branches = hub.repos["earth/mine"]
    assert branches["main"]["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert branches["v2"]["model.safetensors"] == (other / "model.safetensors").read_bytes()


def test_a_new_repository_is_private_when_asked(hub, log_in, folder):
    log_in()
    push(folder, "earth/public")
    push(folder, "earth/secret", private=True)
    assert hub.private == {"earth/secret"}


def test_a_dry_run_asks_no_network_and_changes_nothing(hub, folder, tmp_path):
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    rows = write_rows(tmp_path / "results.jsonl", row(digest(folder)), row("0" * 64))
    told = push(folder, "earth/mine", results=rows, dry_run=True)
    assert hub.requests == [] and hub.repos == {}
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert f"{(folder / name).stat().st_size:,}  {name}" in told
    assert "1 result rows of other weights are left out" in told
    assert "| zero_shot | eurosat | msi | top1 | 0.625 | 0.6 to 0.65 | 27 | 0.1 |" in told


def test_results_go_into_the_card(hub, log_in, folder, tmp_path):
    log_in()
    push(folder, "earth/mine", results=write_rows(tmp_path / "r.jsonl", row(digest(folder), value=0.5)))
    assert b"| top1 | 0.5 |" in hub.repos["earth/mine"]["main"]["README.md"]


def test_results_of_another_model_are_refused(hub, log_in, folder, tmp_path):
    log_in()
    rows = write_rows(tmp_path / "r.jsonl", row("0" * 64, model="runs/else"))
    with pytest.raises(
        CheckpointError, match=rf"holds no result of {folder}/model.safetensors \(SHA-256 {digest(folder)[:12]}\), only of runs/else"
    ):
        push(folder, "earth/mine", results=rows)
    assert hub.requests == []


@pytest.mark.parametrize("text", ["{", "[]\n", '{"metric": "top1"}\n', None])
def test_damaged_results_are_refused(folder, tmp_path, text):
    path = tmp_path / "r.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CheckpointError, match=r"cannot read the results .*r\.jsonl.*results\.jsonl of geolangbind-evaluate"):
        prepare(folder, "earth/mine", results=path)


def damage_header(folder):
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0not json")


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def other_tensors(folder):
    from safetensors.torch import save_file

    save_file({"visual.weight": torch.zeros(1)}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no model at"),
        (lambda folder: (folder / "config.json").write_text("{}"), "not of format"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"cannot read .*model\.safetensors"),
        (damage_header, r"cannot read .*model\.safetensors"),
        (cut, r"cannot read .*model\.safetensors"),
        (other_tensors, r"model\.safetensors holds no image tower"),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"incomplete: .*tokenizer\.json"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), r"tokenizer\.json is not the one these weights were trained with"),
    ],
)
def test_what_is_no_whole_model_is_refused(hub, log_in, folder, damage, told):
    log_in()
    damage(folder)
    with pytest.raises(CheckpointError, match=told):
        push(folder, "earth/mine")
    assert hub.requests == []


def test_a_model_without_a_tokenizer_is_three_files(hub, log_in, small_model, tmp_path):
    log_in()
    push(small_model(tokenizer=None).save(tmp_path / "images"), "earth/images")
    files = hub.repos["earth/images"]["main"]
    assert sorted(files) == ["README.md", "config.json", "model.safetensors"]
    assert b"encode_text" not in files["README.md"] and b"encode images only" in files["README.md"]


def test_without_a_token_the_way_out_is_named(hub, folder):
    with pytest.raises(
        CheckpointError, match=r"cannot publish .* as earth/mine: .*log in with `hf auth login`.*HF_TOKEN.*may write to earth"
    ):
        push(folder, "earth/mine")


def test_a_silent_hub_and_offline_are_told_apart(hub, folder, monkeypatch):
    hub.stop()
    with pytest.raises(CheckpointError, match=r"cannot publish .* Way out: try again"):
        push(folder, "earth/mine")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set; unset it"):
        push(folder, "earth/mine")
    with pytest.raises(CheckpointError, match="'mine' names no repository"):
        push(folder, "mine")


def test_a_ban_on_commerce_is_shown_even_two_parents_back(small_model, tmp_path):
    """official -> base -> branch -> merge: the branch's folder names its parent, whose folder names the release."""
    official = {"path": "hf-hub:earthflow/GeoLB-2-B-16", "sha256": "0" * 64, "role": "start"}
    base = small_model(parents=[official]).save(tmp_path / "base")
    branch = small_model(seed=1, parents=[{"path": str(base), "sha256": digest(base), "role": "start"}]).save(tmp_path / "branch")
    entry = {"path": str(branch), "sha256": digest(branch), "role": "rgb", "coefficient": 0.9}
    merged = small_model(seed=2, parents=[entry]).save(tmp_path / "merged")
    upload = prepare(merged, "earth/mine")
    assert "parent hf-hub:earthflow/GeoLB-2-B-16 is cc-by-nc-4.0: no commercial use" in upload.notes[0]
    assert header(upload.card) | {"tags": None} == {
        "license": "cc-by-nc-4.0",
        "library_name": "geolangbind",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": None,
        "base_model": ["earthflow/GeoLB-2-B-16"],
    }
    assert "| start of start of rgb | hf-hub:earthflow/GeoLB-2-B-16 | 000000000000 |  | cc-by-nc-4.0 (no commercial use) |" in upload.card
    # another model in the branch's place says nothing of its origin
    small_model(seed=3, parents=[official]).save(branch)
    changed = prepare(merged, "earth/mine")
    assert header(changed.card)["license"] == "unknown" and "earthflow" not in changed.card
