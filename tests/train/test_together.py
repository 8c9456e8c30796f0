"""Two real processes over gloo train what one process trains: averaged gradients (DDP) and split weights (FSDP2), through `train`."""

import json
import math
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from safetensors.torch import load_file

from geolangbind.instruct import run as interleaved
from geolangbind.instruct.build import build_pairs
from geolangbind.instruct.settings import InterleavedSettings
from geolangbind.instruct.settings import from_config as interleaved_from_config
from geolangbind.train.run import train
from geolangbind.train.settings import from_config

WORKER = Path(__file__).with_name("train_worker.py")
STEPS, HALF = 4, 2
# With an eps this large AdamW's step is linear in the gradient, and rounding is not blown up where gradients are all but zero.
LINEAR = {"lr": 0.5, "eps": 1.0, "warmup_steps": 1, "clip_norm": 0.5}
FROZEN = {"train_text": False, "steps": 2, "checkpoint_every": 2, "same_label": "negative", "optim": LINEAR}
CLOCK = {"samples_per_s", "data_wait"}


def settings(shards, run_dir, strategy="auto", **changes):
    """Steps of eight samples over streams of at most twelve, one shard each: batches cross the ends of their streams.

    `ddp` and `fsdp` encode their four samples in chunks of three and one, which a process alone does not.
    """
    machine = {"accelerator": "cpu", "precision": "32-true", "threads": 1, "strategy": strategy, **changes.pop("machine", {})}
    parts = {
        "sensor_group": {"name": "mixed", "modalities": {"rgb": 1.0, "sar": 1.0, "dem": 1.0}},
        "teachers": {"choices": {"scene": {}, "register": {}}, "weight": 0.5},
        "optim": {"warmup_steps": 1, "clip_norm": 0.5, "layer_decay": 0.9},
        "cross_sensor": {"weight": 0.5},
    }
    common = {"steps": STEPS, "checkpoint_every": HALF, "batch_size": 8, "train_text": True, "ema_decay": 0.5, "same_label": "positive"}
    places = {"data": str(shards), "run_dir": str(run_dir), "machine": machine, "progress": False, "deterministic": True}
    return from_config({**parts, **common, **places, **changes})


def interleaved_settings(pairs, run_dir, **changes) -> InterleavedSettings:
    """Two steps of eight rows in blocks of four; with several processes, sequences are encoded by threes."""
    backbone = {"config": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}}
    machine = {"accelerator": "cpu", "precision": "32-true", "threads": 1}
    sizes = {"steps": 2, "batch_size": 8, "block": 4, "optim": LINEAR, "backbone": backbone, "model": {"factor": 4}}
    return interleaved_from_config(
        {"pairs": str(pairs), "run_dir": str(run_dir), "machine": machine, "progress": False, **sizes, **changes}
    )


def start(jobs):
    """Two processes that do the same jobs, (starter, settings), one after the other."""
    probes = [socket.socket() for _ in jobs]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    told = json.dumps([(starter, probe.getsockname()[1], asdict(job)) for (starter, job), probe in zip(jobs, probes, strict=True)])
    for probe in probes:
        probe.close()
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return [subprocess.Popen([sys.executable, str(WORKER), told, str(rank), "2"], env=surroundings, **pipes) for rank in range(2)]


def half_done(run_dir, copy):
    """The run as it was after its first checkpoint; the log knows more, as after a kill."""
    shutil.copytree(run_dir, copy, ignore=shutil.ignore_patterns("model", f"step-{STEPS:08d}"))
    return copy


@pytest.fixture(scope="module")
def runs(shards, tmp_path_factory):
    """Run folders by name. Alone: `alone`, and others named so. By two processes: `ddp`, `fsdp`, ... Restarted: `..._then_...`."""
    top = tmp_path_factory.mktemp("together")
    train(settings(shards, top / "alone"))
    half_done(top / "alone", top / "alone_then_fsdp")
    pairs = build_pairs([shards], top / "pairs", ["labels", "captions"])[0].folder
    children = start(
        [
            ("torchrun", settings(shards, top / "ddp", "ddp", memory_chunk=3)),
            ("slurm", settings(shards, top / "fsdp", "fsdp", memory_chunk=3)),
            ("torchrun", settings(shards, top / "alone_then_fsdp", "fsdp")),
            ("slurm", settings(shards, top / "fsdp_frozen", "fsdp", **FROZEN)),
            ("torchrun", settings(shards, top / "ddp_frozen", "ddp", machine={"workers": 2}, **FROZEN)),
            ("torchrun", interleaved_settings(pairs, top / "interleaved_ddp", memory_chunk=3)),
        ]
    )
    try:
        train(settings(shards, top / "frozen_alone", **FROZEN))
        interleaved.train(interleaved_settings(pairs, top / "interleaved_alone"))
        errors = [child.communicate(timeout=120)[1].decode() for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
            child.stderr.close()
    assert all(child.returncode == 0 for child in children), errors[0] + errors[1]
    for name in ("ddp", "fsdp"):
        train(settings(shards, half_done(top / name, top / f"{name}_then_alone")))
    return top


def distance(one, other, least):
    """The largest difference between two files of tensors, relative to the largest value of each tensor, or to `least` if that is more."""
    first, second = load_file(one), load_file(other)
    assert {name: value.dtype for name, value in first.items()} == {name: value.dtype for name, value in second.items()}
    pairs = [(value.double(), second[name].double()) for name, value in first.items()]
    return max(float((a - b).abs().max() / a.abs().max().clamp_min(least)) for a, b in pairs)


def rows(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


TOGETHER = ["ddp", "fsdp", "alone_then_fsdp", "ddp_then_alone", "fsdp_then_alone"]


@pytest.mark.parametrize("name", TOGETHER)
def test_weights_optimiser_and_averages_are_those_of_one_process(runs, name):
    """In float32. Relative to 1 for small tensors: biases that start at zero are themselves about 1e-3 after these steps."""
    for file in ("model/model.safetensors", f"checkpoints/step-{STEPS:08d}/state.safetensors"):
        assert distance(runs / "alone" / file, runs / name / file, least=1.0) < 1e-6


@pytest.mark.parametrize("name", ["ddp_frozen", "fsdp_frozen"])
def test_each_weight_agrees_relative_to_its_own_size(runs, name):
    """Where AdamW is linear, see `LINEAR`; 1.3e-6 was seen, in biases that start at zero.

    The text tower rests; DDP reads with two loader workers for one shard.
    """
    file = "model/model.safetensors"
    assert distance(runs / "frozen_alone" / file, runs / name / file, least=1e-12) < 3e-6


@pytest.mark.parametrize("name", [*TOGETHER, "ddp_frozen", "fsdp_frozen"])
def test_every_step_is_that_of_one_process(runs, name):
    """The same sensor, contrastive and MaKA terms and gradient norm, each step once; the log keeps six decimals."""
    expected, found = rows(runs / ("frozen_alone" if "frozen" in name else "alone")), rows(runs / name)
    assert [row["step"] for row in found] == [row["step"] for row in expected] == list(range(1, len(expected) + 1))
    assert any("cross_sensor" in row for row in expected)
    for a, b in zip(expected, found, strict=True):
        assert a.keys() == b.keys() >= {"contrastive", "maka/scene", "maka/register", "loss", "gradient_norm"}
        for key in a.keys() - CLOCK:
            # the norm sums a million squares in another order: 1.3e-6 was seen
            close = {"rel_tol": 5e-6 if key == "gradient_norm" else 1e-6, "abs_tol": 1.1e-6}
            assert a[key] == b[key] or math.isclose(a[key], b[key], **close), (a["step"], key, a[key], b[key])


def test_what_is_left_behind_does_not_depend_on_how_many_there_were(runs):
    """Words seen by either process, the origin, the tokenizer: the same files."""
    for name in ("ddp", "fsdp", "ddp_then_alone"):
        for file in ("model/config.json", "model/tokenizer.json"):
            assert (runs / name / file).read_bytes() == (runs / "alone" / file).read_bytes()
        ours, theirs = (json.loads((runs / run / f"checkpoints/step-{STEPS:08d}/state.json").read_text()) for run in (name, "alone"))
        assert ours["seen_words"] == theirs["seen_words"] and ours["step"] == theirs["step"] == STEPS


def test_the_interleaved_encoder_is_that_of_one_process(runs):
    alone, both = (runs / f"interleaved_{name}" for name in ("alone", "ddp"))
    assert distance(*(folder / "model/model.safetensors" for folder in (alone, both)), 1e-3) < 1e-4
    for mine, theirs in zip(rows(alone), rows(both), strict=True):
        assert mine["sources"] == theirs["sources"] and mine["loss"] == pytest.approx(theirs["loss"], abs=2e-5)
