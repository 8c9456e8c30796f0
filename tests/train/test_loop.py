"""The loop's own parts: the log of steps, what a step does to the weights."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from geolangbind.train.loop import _Log, _step
from geolangbind.train.optim import build_optimizer
from geolangbind.train.settings import Optim


def test_the_log_drops_what_lies_beyond_the_checkpoint(tmp_path):
    """A killed run has rows of steps that will be done again, the last one perhaps half written."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in range(1, 6)) + '{"st')
    with _Log(tmp_path, 3, True) as log:
        log.write({"step": 4, "modality": "rgb", "loss": 0.123456789})
        log.flush()
        assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]
    assert json.loads(path.read_text().splitlines()[-1]) == {"step": 4, "modality": "rgb", "loss": 0.123457}
    assert sorted(child.name for child in tmp_path.iterdir()) == ["metrics.jsonl", "tensorboard"]


def test_a_new_run_starts_an_empty_log(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    with _Log(tmp_path, 0, True):
        pass
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_other_processes_write_nothing(tmp_path):
    with _Log(tmp_path, 0, False) as log:
        log.write({"step": 1, "modality": "rgb", "loss": 1.0})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("clip", "norm"), [(1.0, 1.0), (0.0, 5.0), (100.0, 5.0)])
def test_gradients_are_clipped_to_their_norm(batch, settings_for, clip, norm):
    """A linear loss with gradient (3, 4), whose norm is 5; zero switches clipping off."""
    module = nn.Linear(2, 1, bias=False)
    settings = settings_for(optim={"clip_norm": clip})
    optimizer = build_optimizer(module, settings.optim)
    fabric = SimpleNamespace(global_rank=0, world_size=1, device=torch.device("cpu"), backward=lambda loss: loss.backward())

    def losses(fetch, generator):
        assert fetch() is batch and generator.initial_seed() == 7 * 4099
        return {"loss": (module.weight * torch.tensor([[3.0, 4.0]])).sum()}

    values = _step(losses, optimizer, batch, [module.weight], settings, 7, fabric)
    assert float(module.weight.grad.norm()) == pytest.approx(norm, rel=1e-5) and set(values) == {"loss", "gradient_norm"}


def test_random_numbers_of_a_step_are_a_function_of_seed_step_and_rank(batch, settings_for):
    drawn = {}

    def losses(fetch, generator):
        drawn[len(drawn)] = (float(torch.rand(())), float(torch.rand((), generator=generator)))
        return {"loss": torch.zeros((), requires_grad=True)}

    module = nn.Linear(1, 1)
    optimizer = build_optimizer(module, Optim())
    for seed, step, rank in ((0, 3, 0), (0, 4, 0), (0, 3, 1), (1, 3, 0), (0, 3, 0)):
        fabric = SimpleNamespace(global_rank=rank, world_size=1, device=torch.device("cpu"), backward=lambda loss: loss.backward())
        torch.rand(3)  # what went before does not matter
        _step(losses, optimizer, batch, [], settings_for(seed=seed), step, fabric)
    assert drawn[0] == drawn[4] and len({*drawn.values()}) == 4
