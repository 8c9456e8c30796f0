"""The loop's own part: what a step does to the weights."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from geolangbind.train.loop import _step
from geolangbind.train.optim import build_optimizer
from geolangbind.train.run_settings import Optim


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
