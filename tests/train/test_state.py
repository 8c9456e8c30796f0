"""Checkpoints of a training: everything comes back, by name, and damage is told plainly."""

import json

import pytest
import torch
from torch import nn

from geolangbind.errors import CheckpointError
from geolangbind.train.optim import build_optimizer
from geolangbind.train.settings import Optim
from geolangbind.train.state import load_state, newest_state, save_state


def trained(seed=0, steps=2):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    module[0].weight.requires_grad_(False)
    optimizer = build_optimizer(module, Optim(lr=0.01))
    for _ in range(steps):
        optimizer.zero_grad()
        module(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
    return module, optimizer


def test_weights_optimiser_averages_and_notes_come_back(tmp_path):
    module, optimizer = trained()
    save_state(tmp_path, 2, module, optimizer, {"2.bias": torch.tensor([7.0])}, {"seen_words": ["a", "b"]}, 2)
    fresh, fresh_optimizer = trained(seed=1, steps=0)
    told, average = load_state(newest_state(tmp_path), fresh, fresh_optimizer)
    assert (told["step"], told["seen_words"]) == (2, ["a", "b"])
    assert list(average) == ["2.bias"] and average["2.bias"].item() == 7
    for name, value in module.state_dict().items():  # buffers too
        torch.testing.assert_close(fresh.state_dict()[name], value, rtol=0, atol=0)
    # the next step is the same, bit by bit
    batch = torch.ones(5, 3) + torch.arange(5.0)[:, None]
    for one, its in ((module, optimizer), (fresh, fresh_optimizer)):
        its.zero_grad()
        one(batch).sum().backward()
        its.step()
    for a, b in zip(module.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_checkpoint_is_two_plain_files(tmp_path):
    module, optimizer = trained()
    save_state(tmp_path, 12, module, optimizer, {}, {}, 2)
    folder = tmp_path / "checkpoints" / "step-00000012"
    assert sorted(path.name for path in folder.iterdir()) == ["state.json", "state.safetensors"]
    assert json.loads((folder / "state.json").read_text()) == {"step": 12}


def test_only_the_newest_are_kept(tmp_path):
    module, optimizer = trained()
    for step in (8, 9, 10, 100):
        save_state(tmp_path, step, module, optimizer, {}, {}, 2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000010", "step-00000100"]
    assert newest_state(tmp_path).name == "step-00000100"


def test_no_checkpoint_is_none(tmp_path):
    assert newest_state(tmp_path / "nowhere") is None


def test_half_written_checkpoints_are_not_seen(tmp_path, monkeypatch):
    module, optimizer = trained()
    save_state(tmp_path, 1, module, optimizer, {}, {}, 2)

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr("geolangbind.train.state.save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        save_state(tmp_path, 2, module, optimizer, {}, {}, 2)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    # what a killed process leaves lies under another name
    (tmp_path / "checkpoints" / ".step-00000009.77.part").mkdir()
    assert newest_state(tmp_path).name == "step-00000001"


@pytest.mark.parametrize("damage", ["cut", "no json", "other model", "bad json"])
def test_damage_is_told_with_the_way_out(tmp_path, damage):
    module, optimizer = trained()
    save_state(tmp_path, 3, module, optimizer, {}, {}, 2)
    folder = newest_state(tmp_path)
    if damage == "cut":
        data = (folder / "state.safetensors").read_bytes()
        (folder / "state.safetensors").write_bytes(data[: len(data) // 2])
    elif damage == "no json":
        (folder / "state.json").unlink()
    elif damage == "bad json":
        (folder / "state.json").write_text("{")
    else:
        module = nn.Sequential(nn.Linear(3, 5))
        optimizer = build_optimizer(module, Optim())
    with pytest.raises(
        CheckpointError, match=r"cannot continue from .*step-00000003: .*; delete it to go back to the one before"
    ) as caught:
        load_state(folder, module, optimizer)
    assert "\n" not in str(caught.value)
