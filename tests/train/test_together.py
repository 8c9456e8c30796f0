"""Two real processes over gloo train what one process trains: averaged gradients (DDP) and split weights (FSDP2), through `train`."""

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from safetensors.torch import load_file

from geolangbind.train.run import train
from geolangbind.train.settings import from_config

WORKER = Path(__file__).with_name("train_worker.py")
STEPS, HALF = 6, 3
PLACES = {"not": ("samples_per_s", "data_wait")}


def settings(shards, run_dir, strategy="auto", **changes):
    """Six steps of eight samples over three streams of twelve, so that every third batch or so crosses the end of a stream."""
    teachers = {"choices": {"scene": {}, "register": {}}, "weight": 0.5}
    machine = {"accelerator": "cpu", "precision": "32-true", "threads": 1, "strategy": strategy, **changes.pop("machine", {})}
    group = {"name": "mixed", "modalities": {"rgb": 1.0, "sar": 1.0, "dem": 1.0}}
    common = {"steps": STEPS, "checkpoint_every": HALF, "batch_size": 8, "train_text": True, "ema_decay": 0.5, "same_label": "positive"}
    optim = {"warmup_steps": 1, "clip_norm": 0.5, "layer_decay": 0.9}
    whole = {**common, "progress": False, "deterministic": True, "optim": optim, "teachers": teachers, "sensor_group": group, **changes}
    return from_config({"data": str(shards), "run_dir": str(run_dir), "machine": machine, **whole})


def half_done(run_dir, copy):
    """The run as it was after its first checkpoint."""
    shutil.copytree(run_dir, copy)
    shutil.rmtree(copy / "model")
    shutil.rmtree(copy / "checkpoints" / f"step-{STEPS:08d}")
    return copy


def start(jobs, world=2):
    probes = [socket.socket() for _ in jobs]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    told = json.dumps([(starter, probe.getsockname()[1], asdict(job)) for (starter, job), probe in zip(jobs, probes, strict=True)])
    for probe in probes:
        probe.close()
    scene = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(WORKER), told]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": open("/tmp/A_err", "w")}
    return [subprocess.Popen([*command, str(rank), str(world)], env=scene, **pipes) for rank in range(world)]


@pytest.fixture(scope="module")
def runs(shards, tmp_path_factory):
    """Run folders by name: `alone`, and by two processes `ddp` (as under torchrun, two loader workers), `fsdp` (as under srun), ..."""
    top = tmp_path_factory.mktemp("together")
    more = {"frozen": {"train_text": False, "steps": 2, "same_label": "negative"}}
    children = start(
        [
            ("torchrun", settings(shards, top / "ddp", "ddp", machine={"workers": 2})),
            ("slurm", settings(shards, top / "fsdp", "fsdp")),
            ("torchrun", settings(shards, top / "frozen", "fsdp", **more["frozen"])),
        ]
    )
    try:
        train(settings(shards, top / "alone"))
        train(settings(shards, top / "frozen_alone", **more["frozen"]))
        errors = [child.communicate(timeout=100)[1] for child in children]
    finally:
        for child in children:
            child.kill()
    assert all(child.returncode == 0 for child in children), str(errors)
    return top


def far(one, other):
    """The largest difference between two sets of tensors, relative to the largest value of each tensor."""
    assert one.keys() == other.keys()
    rows = {name: float((one[name].double() - other[name].double()).abs().max() / one[name].abs().max().clamp_min(1e-12)) for name in one}
    print(sorted(((v, k) for k, v in rows.items()), reverse=True)[:12])
    return max(rows.values())


@pytest.mark.parametrize(("name", "alone"), [("ddp", "alone"), ("fsdp", "alone"), ("frozen", "frozen_alone")])
def test_x(runs, name, alone):
    a, b = (load_file(runs / x / "model/model.safetensors") for x in (name, alone))
    print(name, far(a, b))
    for x in (name, alone):
        print([json.loads(l) for l in (runs/x/"metrics.jsonl").read_text().splitlines()][:9])
    assert 0
