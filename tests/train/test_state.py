"""Checkpoints of a training: everything comes back, by name, and damage is told plainly."""

import hashlib
import json

import pytest
import torch
from torch import nn

from geolangbind.errors import CheckpointError
from geolangbind.train.optim import build_optimizer
from geolangbind.train.run_settings import Optim
from geolangbind.train.state import Kept, newest_state, restore_state, save_state


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
    save_state(tmp_path, 2, module, optimizer, {"2.bias": torch.tensor([7.0])}, {"seen_words": ["a", "b"]}, Kept(2))
    fresh, fresh_optimizer = trained(seed=1, steps=0)
    told, average = restore_state(tmp_path, fresh, fresh_optimizer)
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
    save_state(tmp_path, 12, module, optimizer, {}, {}, Kept(2))
    folder = tmp_path / "checkpoints" / "step-00000012"
    assert sorted(path.name for path in folder.iterdir()) == ["state.json", "state.safetensors"]
    digest = hashlib.sha256((folder / "state.safetensors").read_bytes()).hexdigest()
    assert json.loads((folder / "state.json").read_text()) == {"step": 12, "sha256": digest}


def test_only_the_newest_are_kept(tmp_path):
    module, optimizer = trained()
    for step in (8, 9, 10, 100):
        save_state(tmp_path, step, module, optimizer, {}, {}, Kept(2))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000010", "step-00000100"]
    assert newest_state(tmp_path).name == "step-00000100"


def test_no_checkpoint_is_none(tmp_path):
    assert newest_state(tmp_path / "nowhere") is None


def test_half_written_checkpoints_are_not_seen(tmp_path, monkeypatch):
    module, optimizer = trained()
    save_state(tmp_path, 1, module, optimizer, {}, {}, Kept(2))

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr("geolangbind.train.state.save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        save_state(tmp_path, 2, module, optimizer, {}, {}, Kept(2))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    # what a killed process leaves lies under another name
    (tmp_path / "checkpoints" / ".step-00000009.77.part").mkdir()
    assert newest_state(tmp_path).name == "step-00000001"


def damaged(folder, how):
    if how == "cut":
        data = (folder / "state.safetensors").read_bytes()
        (folder / "state.safetensors").write_bytes(data[: len(data) // 2])
    elif how == "one bit":
        data = bytearray((folder / "state.safetensors").read_bytes())
        data[-5] ^= 1
        (folder / "state.safetensors").write_bytes(data)
    elif how == "no json":
        (folder / "state.json").unlink()
    elif how == "no tensors":
        (folder / "state.safetensors").unlink()
    else:
        (folder / "state.json").write_text({"bad json": "{", "a list": "[]", "no step": "{}"}[how])


@pytest.mark.parametrize("how", ["cut", "one bit", "no json", "no tensors", "bad json", "a list", "no step"])
def test_a_damaged_newest_falls_back_to_the_one_before(tmp_path, how):
    module, optimizer = trained()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    save_state(tmp_path, 3, module, optimizer, {}, {}, Kept(2))
    nn.init.zeros_(module[2].weight)
    save_state(tmp_path, 4, module, optimizer, {}, {}, Kept(2))
    damaged(tmp_path / "checkpoints" / "step-00000004", how)
    with pytest.warns(UserWarning, match=r"cannot continue from .*step-00000004: .*going back to step-00000003") as caught:
        told, _ = restore_state(tmp_path, module, optimizer)
    assert told["step"] == 3 and "\n" not in str(caught[0].message)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["damaged-step-00000004", "step-00000003"]


def test_nothing_whole_left_is_told_with_the_way_out(tmp_path):
    module, optimizer = trained()
    save_state(tmp_path, 3, module, optimizer, {}, {}, Kept(2))
    damaged(tmp_path / "checkpoints" / "step-00000003", "cut")
    with pytest.raises(CheckpointError, match=r"step-00000003: .*no whole checkpoint is left, delete .*checkpoints to start anew"):
        restore_state(tmp_path, module, optimizer)


def test_a_checkpoint_of_another_model_is_refused_and_stays(tmp_path):
    save_state(tmp_path, 3, *trained(), {}, {}, Kept(2))
    other = nn.Sequential(nn.Linear(3, 5))
    with pytest.raises(CheckpointError, match="it is of another model or other teachers") as caught:
        restore_state(tmp_path, other, build_optimizer(other, Optim()))
    assert "\n" not in str(caught.value) and newest_state(tmp_path).name == "step-00000003"


@pytest.mark.parametrize(
    ("best", "scores", "stay"), [("lowest", (3, 1, 2, 5), (2, 4)), ("highest", (3, 1, 2, 5), (4,)), ("", (3, 1, 2, 5), (4,))]
)
def test_the_best_stays_beside_the_last(tmp_path, best, scores, stay):
    module, optimizer = trained()
    for step, score in enumerate(scores, 1):
        save_state(tmp_path, step, module, optimizer, {}, {"score": score}, Kept(1, best))
    assert sorted(int(path.name[5:]) for path in (tmp_path / "checkpoints").iterdir()) == list(stay)
