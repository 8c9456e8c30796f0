"""Trainings killed with SIGKILL at chosen moments and started again: they end as one that was never disturbed, bit by bit."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

WORKER = [sys.executable, str(Path(__file__).with_name("kill_worker.py"))]
KILLED = -9
STEP = "checkpoints/.step-{:08d}.part".format

# three runs of ten steps, a checkpoint every second; each is killed at these moments, one after the other, then runs to its end
CHAINS = {
    "the start and the first checkpoint": (
        "open .run.json.part",
        "rename .config.yaml.part",
        "open metrics.jsonl",
        "half row 1",
        f"half {STEP(2)}/state.safetensors",
    ),
    "checkpoints and pruning": (
        f"open {STEP(2)}/state.json",
        f"rename {STEP(4)}",
        "rename .metrics.jsonl.part",
        "sync checkpoints",
        "rename checkpoints/step-00000002",
        "remove state.safetensors",
    ),
    "steps and the model": (
        "after step 1 of this start",
        "rename checkpoints/step-00000006",
        "half .model.part/model.safetensors",
        "rename .model.part",
    ),
}
LONGER = ("rename model", "rename .model.part")  # two more steps: the model of ten is in the way
COLD = ("before step 3 of this start", f"half {STEP(4)}/state.safetensors", "mkdir .model.part")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("kill")


@pytest.fixture(scope="module")
def warm(place):
    """`warm(run_dir, config, at)`: a start in a child forked from a process that has imported everything; its exit code."""
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (place / "stderr").open("w") as stderr, subprocess.Popen([*WORKER, "warm"], stderr=stderr, **piped) as parent:

        def go(run_dir, at=None, **order):
            parent.stdin.write(json.dumps({"run_dir": str(run_dir), "note": str(run_dir) + ".moments", "at": at, **order}) + "\n")
            parent.stdin.flush()
            return int(parent.stdout.readline())

        yield go
        parent.stdin.close()


@pytest.fixture(scope="module")
def config(shards):
    def make(run_dir, steps=10):
        return {
            "data": str(shards), "run_dir": str(run_dir), "steps": steps, "batch_size": 2, "checkpoint_every": 2, "ema_decay": 0.5,
            "train_text": True, "deterministic": True, "progress": False, "augment": {"most_bands": 2},
            "sensor_group": {"name": "three", "modalities": {"rgb": 1.0, "sar": 1.0, "dem": 1.0}},
            "teachers": {"choices": {"scene": {}, "register": {}}}, "machine": {"accelerator": "cpu", "precision": "32-true"},
        }  # fmt: skip

    return make


def argv(shards, run_dir):
    contract = ["sensor_group=rgb", "model=tiny", f"run_dir={run_dir}", f"data={shards}", "steps=6", "seed=3", "resume=auto"]
    return [*contract, "batch_size=4", "checkpoint_every=2", "deterministic=true", "progress=false", "machine.accelerator=cpu"]


def cold_chain(shards, run_dir):
    codes = []
    for at in COLD:
        order = json.dumps({"run_dir": str(run_dir), "note": f"{run_dir}.moments", "at": at})
        codes.append(subprocess.run([*WORKER, "cold", order, *argv(shards, run_dir)], capture_output=True, check=False).returncode)
    return codes


@pytest.fixture(scope="module", autouse=True)
def cold(place, shards):
    """Three starts in fresh processes, beside the forked ones: the machine has a second core."""
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(cold_chain, shards, place / "cold")


@pytest.fixture(scope="module")
def reference(place, warm, config):
    folder = place / "undisturbed"
    assert warm(folder, config=config(folder)) == 0, (place / "stderr").read_text()
    return folder


def left_behind(folder):
    """All that must be alike: names, tensors and texts of model and checkpoints, rows without their timing, TensorBoard's points."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    found = {name: path.read_bytes() for name, path in files.items() if name.startswith(("model/", "checkpoints/"))}
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        assert row.pop("samples_per_s") > 0 and row.pop("data_wait") >= 0
    return {**found, "rows": rows, "others": sorted(name for name in files if name not in found and not name.startswith("tensorboard/"))}


def points(folder):
    """(tag, step, value) of what TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0}).Reload()
    shown = [(tag, event.step, event.value) for tag in events.Tags()["scalars"] for event in events.Scalars(tag)]
    return sorted(point for point in shown if point[0] not in ("samples_per_s", "data_wait"))


def assert_alike(folder, undisturbed, steps):
    found, expected = left_behind(folder), left_behind(undisturbed)
    assert {"model/model.safetensors", f"checkpoints/step-{steps:08d}/state.safetensors"} < found.keys()
    assert [row["step"] for row in found["rows"]] == list(range(1, steps + 1))
    assert found["others"] == ["config.yaml", "curves.png", "metrics.jsonl", "report.md", "run.json"]
    assert sorted(found) == sorted(expected)
    assert [name for name in found if found[name] != expected[name]] == []


@pytest.mark.parametrize("chain", CHAINS)
def test_a_killed_run_ends_as_an_undisturbed_one(chain, place, warm, config, reference):
    folder = place / chain
    for at in CHAINS[chain]:
        assert (at, warm(folder, at, config=config(folder))) == (at, KILLED)
    assert warm(folder, config=config(folder)) == 0
    assert_alike(folder, reference, 10)
    assert points(folder) == points(reference) != []


def test_a_longer_run_survives_kills_while_it_replaces_the_model(place, warm, config, reference):
    straight, killed = place / "longer", place / "longer, killed"
    for folder, moments in ((straight, ()), (killed, LONGER)):
        assert warm(folder, config=config(folder, 2)) == 0
        for at in moments:
            assert warm(folder, at, config=config(folder, 4)) == KILLED
        assert warm(folder, config=config(folder, 4)) == 0
    assert_alike(killed, straight, 4)


def test_a_finished_run_is_left_alone(place, warm, config, reference):
    moments = Path(f"{reference}.moments")
    before = moments.read_text(), left_behind(reference), {path: path.stat().st_mtime_ns for path in reference.rglob("*")}
    assert warm(reference, config=config(reference)) == 0
    assert (moments.read_text(), left_behind(reference), {path: path.stat().st_mtime_ns for path in reference.rglob("*")}) == before
    assert f"{reference} has done its 10 steps before; its model stays as it is" in (place / "stderr").read_text()


def test_nothing_takes_its_name_before_it_is_on_disk(reference):
    """A kill loses nothing that was written; a power cut does, unless content, names and the new name are synced in this order."""
    moments = Path(f"{reference}.moments").read_text().splitlines()
    renamed = [n for n, moment in enumerate(moments) if moment.startswith("rename ") and moment.endswith(".part")]
    assert len(renamed) == 3 + 5 + 2 + 1  # run.json, config.yaml, metrics.jsonl; checkpoints; curves.png, report.md; model
    for n in renamed:
        part = moments[n].removeprefix("rename ")
        written = {moment.split(" ", 1)[1] for moment in moments[:n] if moment.startswith(("open ", "save ")) and f" {part}" in moment}
        last = max(k for k in range(n) if moments[k].startswith(("open ", "save ", "half ")) and f" {part}" in moments[k])
        assert {*written, part} == {moment.removeprefix("sync ") for moment in moments[last + 1 : n]}
        assert moments[n - 1] == f"sync {part}" and moments[n + 1].startswith("sync ")
    logged = moments.index("sync metrics.jsonl")
    assert logged < moments.index(f"rename {STEP(2)}") < moments.index("before step 3 of this start")


def test_the_command_killed_in_fresh_processes(cold, place, shards, warm):
    """The contract: `geolangbind-train sensor_group=rgb model=tiny run_dir=... data=... steps=... seed=... resume=auto`."""
    undisturbed, killed = place / "cold-undisturbed", place / "cold"
    assert warm(undisturbed, argv=argv(shards, undisturbed)) == 0
    assert cold.result() == [KILLED] * len(COLD)
    assert warm(killed, argv=argv(shards, killed)) == 0
    assert_alike(killed, undisturbed, 6)


@pytest.mark.soak
def test_a_kill_at_every_single_operation(place, warm, config):
    import shutil

    undisturbed, folder = place / "soak undisturbed", place / "soak"
    assert warm(undisturbed, config=config(undisturbed, 16)) == 0
    moments = Path(f"{undisturbed}.moments").read_text().splitlines()
    assert len(moments) >= 200
    for number, moment in enumerate(moments):
        assert (moment, warm(folder, number, config=config(folder, 16))) == (moment, KILLED)
        assert warm(folder, config=config(folder, 16)) == 0
        assert_alike(folder, undisturbed, 16)
        shutil.rmtree(folder)
