"""What a step does: weights move, chunks of memory change nothing, what rests stays."""

import pytest
import torch
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from geolangbind.instruct import task as instruct_task
from geolangbind.instruct.task import InterleavedTask
from geolangbind.train.optim import build_optimizer

ON_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture
def made(settings_for, reader_for):
    """`made(**settings)`: a task and a batch of eight captions."""

    def make(projector_only=False, **changes):
        settings = settings_for(**changes)
        reader = reader_for(settings)
        batch = reader.batch(reader.rows("captions", range(8)), [0] * 4 + [1] * 4, ["captions"])
        return InterleavedTask(reader.images.encoder.model, settings, projector_only=projector_only).train(), batch

    return make


def step(task, batch):
    torch.manual_seed(5)
    losses = task(lambda: batch, torch.Generator())
    losses["loss"].backward()
    return losses


def test_weights_move_in_one_process_after_one_step(made):
    task, batch = made()
    before = {name: value.detach().clone() for name, value in task.named_parameters()}
    optimizer = build_optimizer(task, task.settings.optim)
    step(task, batch)
    optimizer.step()
    moved = {name for name, value in task.named_parameters() if not torch.equal(value, before[name])}
    parts = {name.split(".")[1] for name in moved if name.startswith("model.")}
    assert {"projector", "backbone", "where", "kinds", "scale"} <= parts and "tower" not in parts and "log_scale" in moved


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_CUDA)])
def test_memory_chunks_have_the_gradients_of_the_whole_with_dropout_on(made, device):
    """The same parts, kept or computed again: adapters with dropout draw the same numbers twice."""
    found = []
    for chunk in (3, 0):
        task, batch = made(memory_chunk=3, lora={"r": 2, "dropout": 0.5})
        task, batch = task.to(device), batch.to(torch.device(device))
        task.settings.memory_chunk = chunk
        torch.manual_seed(1)
        for name, value in task.named_parameters():  # new adapters change nothing, whatever is dropped
            if ".lora_" in name:
                torch.nn.init.normal_(value)
        loss = step(task, batch)["loss"]
        found.append((loss.detach(), {name: value.grad for name, value in task.named_parameters() if value.grad is not None}))
    (one, chunked), (other, plain) = found
    rounding = {"rtol": 1e-6, "atol": 1e-8} if device == "cpu" else {"rtol": 1e-3, "atol": 1e-5}  # sums there have no fixed order
    torch.testing.assert_close(one, other, **rounding)
    assert len(batch.parts) > 3 and chunked.keys() == plain.keys() and any(".lora_" in name for name in plain)
    for name, gradient in plain.items():
        torch.testing.assert_close(chunked[name], gradient, **rounding)
    torch.manual_seed(6)
    assert task(lambda: batch, torch.Generator())["loss"].detach() != other  # dropout is on


def test_torch_is_shown_the_device_whose_random_numbers_it_has_to_keep(made, monkeypatch):
    """It looks for tensors in what it can take apart, and `Prompts` is not of that kind; on the CPU nobody would notice."""
    given = []

    def noted(function, *arguments, **options):
        given.append([leaf for leaf in tree_leaves(arguments) if isinstance(leaf, torch.Tensor)])
        return checkpoint(function, *arguments, **options)

    monkeypatch.setattr(instruct_task, "checkpoint", noted)
    task, batch = made(memory_chunk=3)
    step(task, batch)
    assert len(given) == len(batch.parts)
    for tensors, part in zip(given, batch.parts, strict=True):
        assert [tensor.device for tensor in tensors] == [part.ids.device]


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({}, {"backbone", "between"}),
        ({"projector_only": True}, {"between"}),
        ({"lora": {"r": 2}}, {"adapter", "between"}),
        ({"lora": {"r": 2}, "projector_only": True}, {"between"}),
        ({"train_tower": 0.1}, {"backbone", "between", "tower"}),
    ],
)
def test_what_trains_is_what_the_settings_say(made, changes, trained):
    task, batch = made(**changes)
    step(task, batch)
    kinds = set()
    for name, value in task.model.named_parameters():
        if value.grad is not None and bool(value.grad.any()):
            part = name.split(".")[0]
            kinds.add("adapter" if ".lora_" in name else part if part in ("backbone", "tower") else "between")
    assert kinds == trained
    assert not task.model.tower.training or "tower" in trained


def test_the_loss_of_several_sizes_is_their_weighted_mean(made):
    found = [float(step(*made(matryoshka=choice))["loss"].detach()) for choice in ({}, {"dims": [4], "weights": [3.0]})]
    task, batch = made()
    vectors = torch.cat([task.model(part) for part in batch.parts])
    cut = torch.nn.functional.normalize(vectors[:, :4], dim=1)
    alone = float(task._contrast(cut, task.log_scale.exp(), batch).detach())
    assert found[1] == pytest.approx((found[0] + 3 * alone) / 4, rel=1e-5) and found[0] != found[1]


def test_the_temperature_keeps_its_bounds_or_rests(made):
    task, batch = made(temperature={"start": 0.05, "lowest": 0.02, "highest": 0.1})
    assert float(step(task, batch)["temperature"]) == pytest.approx(0.05) and task.log_scale.grad is not None
    for value, kept in ((10.0, 0.02), (0.0, 0.1)):
        task.log_scale.data.fill_(value)
        task.clamp_temperature()
        assert float(1 / task.log_scale.detach().exp()) == pytest.approx(kept)
    task, batch = made(temperature={"learned": False})
    step(task, batch)
    assert task.log_scale.grad is None
