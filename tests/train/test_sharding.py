"""Split weights in a group of one process: what is split, and that everything that touches weights copes with both kinds."""

from types import SimpleNamespace

import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from geolangbind.models import zoo
from geolangbind.train.ema import start_average, update_average
from geolangbind.train.guard import clip_gradients
from geolangbind.train.optim import build_optimizer
from geolangbind.train.run_settings import Optim
from geolangbind.train.sharding import average_whole, gathered, placed_like, shard, split
from geolangbind.train.state import Kept, restore_state, save_state


@pytest.fixture
def mesh(tmp_path):
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1, 1), mesh_dim_names=("data_parallel", "tensor_parallel"))
    distributed.destroy_process_group()


class Line(nn.Module):
    """As a task is built: towers with blocks, scalars and parameters of their own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        vision = nn.Module()
        vision.blocks = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
        text = nn.Module()
        text.transformer = nn.Module()
        text.transformer.resblocks = nn.ModuleList([nn.Linear(3, 3)])
        self.towers = nn.Module()
        self.towers.vision, self.towers.text = vision, text
        self.towers.logit_scale = nn.Parameter(torch.tensor(2.0))
        self.rest = nn.Parameter(torch.randn(1, 3))

    def forward(self, x):
        for block in (*self.towers.vision.blocks, *self.towers.text.transformer.resblocks):
            x = block(x)
        return ((x + self.rest) * self.towers.logit_scale).square().sum()


def steps(module, optimizer, count=2, largest=0.5):
    norms = []
    for step in range(count):
        optimizer.zero_grad()
        module(torch.arange(6.0).view(2, 3) + step).backward()
        average_whole(module.parameters())
        norms.append(clip_gradients(list(module.parameters()), largest))
        optimizer.step()
    return norms


@pytest.mark.parametrize("train_text", [True, False])
def test_scalars_and_a_frozen_text_tower_stay_whole(mesh, train_text):
    task = nn.Module()
    task.towers = zoo.build("tiny").towers
    task.towers.text.requires_grad_(train_text)
    task.teachers = {"live": nn.Linear(2, 2)}  # no submodule
    assert shard(task, mesh) is task and isinstance(task, FSDPModule) and not isinstance(task.towers, FSDPModule)
    whole = {name for name, parameter in task.named_parameters() if not isinstance(parameter, DTensor)}
    scalars = {"towers.logit_scale", "towers.logit_bias"}
    assert whole == scalars | {n for n, _ in task.named_parameters() if n.startswith("towers.text.") and not train_text}
    assert all(isinstance(block, FSDPModule) for block in task.towers.vision.blocks)
    assert all(isinstance(block, FSDPModule) == train_text for block in task.towers.text.transformer.resblocks)
    assert not any(isinstance(p, DTensor) for p in task.teachers["live"].parameters())


def test_steps_averages_and_checkpoints_are_those_of_whole_weights(mesh, tmp_path):
    """The same norm, clipped step and average; a checkpoint of either kind is the same file, and goes on as the other kind."""
    plain, parts = Line(), shard(Line(), mesh)
    settings = Optim(lr=0.01, layer_decay=0.5)
    both = [(module, build_optimizer(module, settings), start_average(module)) for module in (plain, parts)]
    assert steps(*both[0][:2]) == pytest.approx(steps(*both[1][:2]), rel=1e-6)
    for number, (module, optimizer, average) in enumerate(both):
        update_average(average, module, 1, 0.5)
        save_state(tmp_path / str(number), 2, module, optimizer, average, {}, Kept())
    files = [tmp_path / str(number) / "checkpoints/step-00000002/state.safetensors" for number in (0, 1)]
    from safetensors.torch import load_file

    first, second = (load_file(file) for file in files)
    for name in first.keys() | second.keys():
        torch.testing.assert_close(first[name], second[name], rtol=1e-6, atol=1e-8)
    fresh = [Line(), shard(Line(), mesh)]
    optimizers = [build_optimizer(module, settings) for module in fresh]
    restored = [restore_state(tmp_path / str(1 - n), fresh[n], optimizers[n]) for n in (0, 1)]
    assert isinstance(restored[1][1]["rest"], DTensor) and not isinstance(restored[0][1]["rest"], DTensor)
    for module, optimizer in [*zip(fresh, optimizers, strict=True), both[0][:2]]:
        steps(module, optimizer, 1)
    expected = plain.state_dict()
    for module in fresh:
        for name, value in gathered(module.state_dict(), keep=True).items():
            torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-7)


def test_parts_and_wholes(mesh):
    module = shard(Line(), mesh)
    weight, value = module.rest, torch.tensor([[1.0, 2.0, 3.0]])
    placed = placed_like(value, weight)
    assert isinstance(placed, DTensor) and torch.equal(placed.full_tensor(), value)
    assert placed_like(value, torch.zeros(2)) is value
    assert gathered({"a": placed}, keep=False) == {} and torch.equal(gathered({"a": placed}, keep=True)["a"], value)
    assert [len(kind) for kind in split([weight, value, placed])] == [1, 2] and split([]) == []


def test_what_is_whole_is_averaged_by_hand(mesh, monkeypatch):
    """As if another process had the same gradients."""
    from geolangbind.train import sharding

    module = shard(Line(), mesh)
    module(torch.ones(1, 3)).backward()
    before, rest = module.towers.logit_scale.grad.clone(), module.rest.grad.full_tensor().clone()
    fake = SimpleNamespace(all_reduce=lambda tensor: tensor.mul_(3), get_world_size=lambda: 2)
    monkeypatch.setattr(sharding, "distributed", fake)
    average_whole(module.parameters())
    assert float(module.towers.logit_scale.grad) == pytest.approx(1.5 * float(before))
    assert torch.equal(module.rest.grad.full_tensor(), rest)
    plain = Line()
    plain(torch.ones(1, 3)).backward()
    average_whole(plain.parameters())
    assert float(plain.towers.logit_scale.grad) == pytest.approx(float(before))
