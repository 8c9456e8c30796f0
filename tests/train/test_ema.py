"""The running average of weights, against the recurrence worked out in plain numbers."""

import pytest
import torch
from torch import nn

from geolangbind.train.ema import averaged_weights, start_average, update_average


def test_the_running_average_by_hand():
    module = nn.Linear(1, 1, bias=False)
    task = nn.ModuleDict({"a": module, "b": nn.Linear(1, 1).requires_grad_(False)})
    module.weight.data.fill_(1.0)
    average, expected = start_average(task), 1.0
    for step, value in enumerate((2.0, 5.0, -3.0, 4.0), 1):
        module.weight.data.fill_(value)
        update_average(average, task, step, 0.2)
        decay = min(0.2, step / (step + 10))  # 1/11, 2/12, then 0.2
        expected = decay * expected + (1 - decay) * value
        assert float(average["a.weight"]) == pytest.approx(expected, rel=1e-6)
    assert set(average) == {"a.weight"} and not average["a.weight"].requires_grad


def test_weights_that_stand_still_are_their_own_average():
    module = nn.Linear(3, 2)
    average = start_average(module)
    for step in range(1, 30):
        update_average(average, module, step, 0.999)
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(average[name], parameter.detach(), rtol=0, atol=0)


def test_averages_stand_in_and_the_very_weights_come_back():
    module = nn.Linear(2, 1)
    average = {name: value + 1 for name, value in start_average(module).items()}
    before = {name: (value.data_ptr(), value.detach().clone()) for name, value in module.named_parameters()}
    with pytest.raises(KeyError), averaged_weights(average, module):
        assert all(torch.equal(value, average[name]) for name, value in module.named_parameters())
        raise KeyError
    for name, value in module.named_parameters():
        assert value.data_ptr() == before[name][0] and torch.equal(value, before[name][1]) and value.requires_grad
