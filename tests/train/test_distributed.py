"""Three real processes over gloo on this machine (and two of them as a group of their own) against one; what torchrun tells a run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from geolangbind.data.order import MixtureOrder
from geolangbind.errors import SettingsError
from geolangbind.train.distributed import agree, launched, processes, strategy
from geolangbind.train.run_settings import Machine

WORKER = Path(__file__).with_name("gloo_worker.py")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each of three processes reports."""
    meeting = f"file://{tmp_path_factory.mktemp('gloo') / 'meeting'}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    children = [
        subprocess.Popen(
            [sys.executable, str(WORKER), meeting, str(rank), "3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        for rank in range(3)
    ]
    try:
        answers = [child.communicate(timeout=60) for child in children]
    finally:
        for child in children:
            child.kill()
    assert all(child.returncode == 0 for child in children), answers[0][1].decode()
    return [json.loads(out.splitlines()[-1]) for out, _ in answers]


def test_the_contrastive_loss_is_that_of_one_process(told):
    """Value and all gradients, for every treatment of equal labels, with a text tower that trains and one that rests."""
    for report in told:
        assert report["differences"]["float64"] < 1e-13 and 0 < report["differences"]["float32"] < 1e-6


def test_the_cross_sensor_loss_is_that_of_one_process(told):
    assert all(report["softmax"] < 1e-13 for report in told)


def test_no_process_holds_more_than_its_own_square_of_logits(told):
    for report in told:
        (sent, shapes), (sent_frozen, shapes_frozen) = report["sent"]
        assert shapes == shapes_frozen == [[3, 3]]
        assert sent == [1, 1, -1, -1]  # two chunks of texts forth, their gradients back
        assert sent_frozen == [1, 1]


def test_logged_values_are_means_and_trouble_is_everyones(told):
    assert [report["mean"] for report in told] == [[3.0, 3.0, True]] * 3


def test_words_are_united(told):
    assert [report["words"] for report in told] == [["all", "wörd1", "wörd2"]] * 3


def test_processes_that_see_other_data_are_refused_everywhere(told):
    for rank, report in enumerate(told):
        assert f"differ in data (here: {'here' if rank == 2 else 'there'})" in report["refused"] and "shared folders" in report["refused"]


def test_one_process_has_nobody_to_ask():
    assert processes() is None and strategy(1, 1) == "auto"
    agree({"step": object()}, torch.device("cpu"), None)


def under_torchrun(monkeypatch, local, nodes, total):
    values = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": local, "GROUP_WORLD_SIZE": nodes, "WORLD_SIZE": total}
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))


def test_torchrun_decides_how_many_processes_there_are(monkeypatch):
    assert launched(Machine(devices=4)) == (4, 1)
    under_torchrun(monkeypatch, 8, 2, 16)
    assert launched(Machine()) == launched(Machine(devices=8, num_nodes=2)) == (8, 2)
    with pytest.raises(SettingsError, match=r"machine.devices=4 machine.num_nodes=1, but torchrun started 8 processes on each of 2 nodes"):
        launched(Machine(devices=4))
    under_torchrun(monkeypatch, 8, 2, 12)
    with pytest.raises(SettingsError, match="torchrun started 12 processes on 2 nodes; start the same number on every node"):
        launched(Machine())


@pytest.mark.parametrize("world", [2, 3, 6])
def test_another_number_of_processes_goes_on_in_the_same_global_order(world):
    """Uneven streams, smaller and larger than a batch; the number changes at step 11."""
    order, again = (MixtureOrder([7, 50, 1], [1, 3, 0.5], batch_size=12, seed=5) for _ in range(2))
    for step in range(23):
        size = world if step >= 11 else 1
        shares = [again.batch(step, rank, size) for rank in range(size)]
        stream, samples = order.batch(step)
        assert {share[0] for share in shares} == {stream}
        assert torch.equal(torch.cat([torch.from_numpy(share[1]) for share in shares]), torch.from_numpy(samples))


def under_srun(monkeypatch, tasks, nodes, per_node=None, name="train"):
    values = {"SLURM_NTASKS": tasks, "SLURM_NNODES": nodes, "SLURM_NTASKS_PER_NODE": per_node, "SLURM_JOB_NAME": name}
    for key, value in values.items():
        monkeypatch.delenv(key, raising=False)
        if value is not None:
            monkeypatch.setenv(key, str(value))


def test_srun_decides_how_many_processes_there_are(monkeypatch):
    under_srun(monkeypatch, 16, 2, 8)
    assert launched(Machine()) == launched(Machine(devices=8, num_nodes=2)) == (8, 2)
    with pytest.raises(SettingsError, match=r"machine.devices=4 machine.num_nodes=2, but SLURM started 8 processes on each of 2 nodes"):
        launched(Machine(devices=4, num_nodes=2))
    under_srun(monkeypatch, 16, 2)
    with pytest.raises(SettingsError, match="--ntasks-per-node=8, not with --ntasks"):
        launched(Machine())
    under_srun(monkeypatch, 12, 2, 8)
    with pytest.raises(SettingsError, match="SLURM started 12 processes on 2 nodes"):
        launched(Machine())
    under_srun(monkeypatch, 1, 1)
    assert launched(Machine()) == (1, 1)
    under_srun(monkeypatch, 8, 1, name="bash")  # a shell on a lent node: whoever is started there is alone
    assert launched(Machine()) == (1, 1)
    under_torchrun(monkeypatch, 2, 1, 2)  # torchrun in a SLURM job: Fabric asks torchrun first
    assert launched(Machine()) == (2, 1)


def test_the_strategy_is_that_of_the_settings():
    from lightning.fabric.strategies import DDPStrategy, ModelParallelStrategy

    assert isinstance(strategy(2, 1), DDPStrategy) and isinstance(strategy(2, 1, "ddp"), DDPStrategy)
    assert isinstance(strategy(2, 2, "fsdp"), ModelParallelStrategy) and strategy(1, 1, "fsdp") == "auto"
