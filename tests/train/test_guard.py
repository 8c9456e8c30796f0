"""What is not finite never reaches the weights, and is told with the samples it came from."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from geolangbind.errors import DataError
from geolangbind.train.guard import clip_gradients, stop_if_not_finite
from geolangbind.train.loop import _step
from geolangbind.train.optim import build_optimizer

NAN, INF = float("nan"), float("inf")


def processes(count=1, elsewhere=0.0):
    return SimpleNamespace(
        global_rank=0, world_size=count, device=torch.device("cpu"), backward=lambda loss: loss.backward(),
        all_reduce=lambda flag, reduce_op: flag + elsewhere,
    )  # fmt: skip


@pytest.mark.parametrize(("largest", "after"), [(0.0, [3.0, 4.0]), (10.0, [3.0, 4.0]), (1.0, [0.6, 0.8])])
def test_clipping_in_closed_form(largest, after):
    parts = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    parts[0].grad, parts[1].grad = torch.tensor([3.0]), torch.tensor([4.0])
    assert clip_gradients(parts, largest) == 5.0
    assert [float(part.grad) for part in parts[:2]] == pytest.approx(after, rel=1e-5) and parts[2].grad is None


def test_clipping_is_that_of_torch_bit_by_bit():
    torch.manual_seed(0)
    one, other = nn.Linear(30, 20), nn.Linear(30, 20)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        a.grad = torch.randn_like(a)
        b.grad = a.grad.clone()
    norm = torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
    assert clip_gradients(list(one.parameters()), 1.0) == float(norm)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("values", "norm", "wrong"), [((NAN, 1.0), 1.0, "loss"), ((1.0, INF), 1.0, "part"), ((1.0, 1.0), NAN, "gradient norm")]
)
def test_step_sensor_samples_checkpoint_and_way_out_are_named(batch, tmp_path, values, norm, wrong):
    with pytest.raises(DataError) as caught:
        stop_if_not_finite(dict(zip(("loss", "part"), values, strict=True)), norm, batch, 7, tmp_path, processes())
    told = str(caught.value)
    assert told.startswith(f"step 7: {wrong} not finite") and "sentinel-2-tci (display_u8)" in told and "\n" not in told
    assert all(key in told for key in batch.keys) and "none: the first had not been written" in told and "lower optim.lr" in told
    listed = json.loads((tmp_path / "not_finite.rank0.json").read_text())
    assert (listed["step"], listed["sensor"], listed["keys"]) == (7, "sentinel-2-tci", list(batch.keys))


def test_long_batches_are_listed_in_full_in_a_file(batch, tmp_path):
    double = dataclasses.replace(
        batch, image=batch.image.repeat(2, 1, 1, 1), masks=None, features={}, labels={}, gsd_m=batch.gsd_m * 2,
        keys=tuple(f"k{number}" for number in range(12)), captions=batch.captions * 2,
    )  # fmt: skip
    (tmp_path / "checkpoints" / "step-00000004").mkdir(parents=True)
    with pytest.raises(DataError, match=r"keys k0, .*, k7 and 4 more in .*not_finite.rank0.json.*checkpoint is .*step-00000004"):
        stop_if_not_finite({"loss": NAN}, 1.0, double, 5, tmp_path, processes())
    assert len(json.loads((tmp_path / "not_finite.rank0.json").read_text())["keys"]) == 12


def test_finite_steps_pass_and_other_processes_stop_this_one(batch, tmp_path):
    stop_if_not_finite({"loss": 1.0}, 1.0, batch, 1, tmp_path, processes())
    stop_if_not_finite({"loss": 1.0}, 1.0, batch, 1, tmp_path, processes(2))
    with pytest.raises(DataError, match="another process"):
        stop_if_not_finite({"loss": 1.0}, 1.0, batch, 1, tmp_path, processes(2, elsewhere=1.0))
    assert list(tmp_path.iterdir()) == []


def test_a_gradient_that_is_not_finite_leaves_weights_and_optimiser_alone(batch, settings_for):
    """The square root's slope at zero is infinite although its value is not."""
    module = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(module.weight)
    optimizer = build_optimizer(module, settings_for().optim)
    with pytest.raises(DataError, match="step 4: gradient norm not finite"):
        _step(lambda *_: {"loss": module.weight.sqrt().sum()}, optimizer, batch, [module.weight], settings_for(), 3, processes())
    assert module.weight.tolist() == [[0.0, 0.0]] and not optimizer.state
