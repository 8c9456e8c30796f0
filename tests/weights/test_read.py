"""Tensors out of files that may be damaged or hostile."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from geolangbind.errors import CheckpointError
from geolangbind.weights.read import read_weights

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.tensor(1.5, dtype=torch.bfloat16)}


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def same(found):
    return found.keys() == STATE.keys() and all(
        torch.equal(found[key], STATE[key]) and found[key].dtype == STATE[key].dtype for key in STATE
    )


@pytest.mark.parametrize("suffix", ["bin", "pt", "pth", "ckpt"])
@pytest.mark.parametrize("legacy", [False, True])
def test_torch_files(tmp_path, suffix, legacy):
    path = tmp_path / f"w.{suffix}"
    torch.save(STATE, path, _use_new_zipfile_serialization=not legacy)
    assert same(read_weights(path))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state},
        lambda state: {"epoch": 1, "name": "run", "state_dict": {f"module.{key}": value for key, value in state.items()}, "scaler": {}},
        lambda state: {f"_orig_mod.module.{key}": value for key, value in state.items()},
        lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
    ],
)
def test_training_checkpoints_are_unwrapped(tmp_path, wrap):
    torch.save(wrap(STATE), tmp_path / "w.pt")
    assert same(read_weights(tmp_path / "w.pt"))


def test_nothing_from_a_file_is_run(tmp_path):
    torch.save({"a": Hostile(tmp_path / "was-run")}, tmp_path / "w.bin")
    with pytest.raises(CheckpointError, match=r"w\.bin holds more than tensors, and reading it could run code.*convert it to safetensors"):
        read_weights(tmp_path / "w.bin")
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin", "w.safetensors.index.json"])
@pytest.mark.parametrize("content", [b"", b"nonsense of some length", b"PK\x03\x04 broken archive", b"{}"])
def test_damaged_files_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        read_weights(tmp_path / name)


def test_what_is_no_state_dict_is_said(tmp_path):
    torch.save({"a": torch.zeros(1), "lr": 0.1, "steps": [1, 2]}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="entries lr, steps are not tensors"):
        read_weights(tmp_path / "w.pt")
    torch.save([torch.zeros(1)], tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="no tensors by name"):
        read_weights(tmp_path / "w.pt")


def test_shards(tmp_path):
    save_file({"a.weight": STATE["a.weight"]}, tmp_path / "1.safetensors")
    save_file({"b": STATE["b"]}, tmp_path / "2.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a.weight": "1.safetensors", "b": "2.safetensors"}}))
    assert same(read_weights(index))
    index.write_text(json.dumps({"weight_map": {"a.weight": "2.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"tensors a\.weight are not in the files"):
        read_weights(index)
    index.write_text(json.dumps({"weight_map": {"a.weight": "../1.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"outside its folder: \.\./1"):
        read_weights(index)
