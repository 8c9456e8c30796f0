"""Where a model may come from."""

import json

import pytest

from geolangbind.errors import CheckpointError
from geolangbind.models import zoo
from geolangbind.weights.source import find_source


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return zoo.build("tiny").save(tmp_path_factory.mktemp("run") / "model")


def test_our_folders_and_runs(tiny):
    for place in (tiny, tiny.parent):
        found = find_source(place)
        assert found.native and found.folder == tiny and found.weights == tiny / "model.safetensors" and found.name == str(place)


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (["model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin"], "model.safetensors"),
        (["open_clip_pytorch_model.bin", "open_clip_model.safetensors"], "open_clip_model.safetensors"),
        (["open_clip_model.safetensors.index.json"], "open_clip_model.safetensors.index.json"),
        (["open_clip_pytorch_model.bin"], "open_clip_pytorch_model.bin"),
    ],
)
def test_other_folders(tmp_path, there, taken):
    for name in there:
        (tmp_path / name).touch()
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_base_patch16_siglip_224"}))
    found = find_source(tmp_path)
    assert not found.native and found.weights.name == taken


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin", "w.pt", "w.pth"])
def test_files(tmp_path, name):
    (tmp_path / name).touch()
    found = find_source(tmp_path / name)
    assert not found.native and found.folder == tmp_path and found.weights == tmp_path / name


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(CheckpointError, match=r"no such folder or file.*runs/demo/merged.*hf-hub:owner/name"):
        find_source(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"looked there and in model/\) nor one of model.safetensors, open_clip_model"):
        find_source(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CheckpointError, match=r"notes.txt is no weights file; weights end in \.safetensors, \.bin"):
        find_source(tmp_path / "notes.txt")


def test_json_beside_the_weights(tmp_path):
    (tmp_path / "w.pt").touch()
    found = find_source(tmp_path / "w.pt")
    assert found.json("config.json") == {}
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="holds no JSON object"):
        found.json("config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"cannot read .*config\.json"):
        found.json("config.json")
