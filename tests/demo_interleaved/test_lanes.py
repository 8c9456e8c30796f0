"""Lanes without their processes: what is shown of them, and how time is counted. The processes are in test_run.py."""

from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from geolangbind.demo_interleaved import lanes
from geolangbind.demo_interleaved.profile import get_profile
from geolangbind.demo_interleaved.stages import LANES, Demo, Stage, do, lane_stages, shared_stages, spans_of, wall_s
from geolangbind.demo_interleaved.trained import steps_done
from geolangbind.errors import DataError, GeoLangBindError

DEMO = Demo(replace(get_profile("smoke"), seeds=2), Path("nowhere"), "test", 2, progress=False)


@pytest.fixture
def board():
    told = Stage("told", Path("t"), bool, lambda tell: None)
    read = Stage("read", Path("t"), bool, lambda tell: None, lambda: 0.25)
    titles = {name: f"1/2 {name}" for name in ("told", "read")}
    with lanes._progress(Console(quiet=True), True) as progress:
        yield lanes._Board(progress, titles, {"told": told, "read": read}, {})


def shown(board):
    return {task.description: task.completed if task.total else None for task in board.progress.tasks}


def test_bars_come_move_and_go_with_what_a_lane_says(board):
    ours, theirs = Pipe(duplex=False)
    theirs.send(("told", 0.0))
    theirs.send(("read", 0.0))
    assert lanes._hear(ours, board)
    assert shown(board) == {"1/2 told": None, "1/2 read": None}
    board.look()  # its files tell
    tell = lanes._teller(theirs, "told")
    for share in (0.4, 0.4001, 0.5):
        tell(share)
    assert lanes._hear(ours, board)
    assert shown(board) == {"1/2 told": 0.5, "1/2 read": 0.25}
    theirs.send(("told", None))
    theirs.close()
    assert not lanes._hear(ours, board)  # it has ended
    assert shown(board) == {"1/2 read": 0.25}


def test_small_progress_is_not_told():
    ours, theirs = Pipe(duplex=False)
    tell = lanes._teller(theirs, "mlp")
    for step in range(10_000):
        tell((step + 1) / 10_000)
    theirs.close()
    found = 0
    with pytest.raises(EOFError):
        while ours.recv():
            found += 1
    assert 400 < found <= 500


def test_an_error_of_a_lane_is_raised_here(board):
    ours, theirs = Pipe(duplex=False)
    theirs.send(DataError("no rows; log: x.log"))
    with pytest.raises(DataError, match=r"no rows; log: x\.log"):
        lanes._hear(ours, board)


def test_a_killed_lane_is_an_error_that_names_its_log():
    lane = lanes.Lane(1, "controls")
    lanes._check_end(DEMO, lane, SimpleNamespace(join=lambda: None, exitcode=0))
    with pytest.raises(GeoLangBindError, match=r"seed 1: .*'controls' ended with code -9.*seed-1.controls.log"):
        lanes._check_end(DEMO, lane, SimpleNamespace(join=lambda: None, exitcode=-9))


def test_stages_that_may_run_at_once_write_their_times_apart():
    of_lanes = [{stage.times for stage in lane_stages(DEMO, seed, lane)} for seed in (0, 1) for lane in LANES]
    assert all(len(times) == 1 for times in of_lanes)
    assert len(set.union(*of_lanes)) == 4
    names = [stage.name for seed in (0, 1) for lane in LANES for stage in lane_stages(DEMO, seed, lane)]
    assert len(set(names)) == 8 and len(shared_stages(DEMO)) == 2


def test_time_side_by_side_counts_once():
    assert wall_s({}) == 0
    assert wall_s({"a": (10, 20), "b": (12, 15), "c": (18, 30), "next day": (100, 101)}) == 21


def test_one_after_the_other_with_when(tmp_path, capsys):
    done = []
    stages = [
        Stage(name, tmp_path / "times.json", lambda name=name: name in done, lambda tell, name=name: done.append(name)) for name in "ab"
    ]
    do(stages[:1], Console(), of=2)
    do(stages, Console())
    assert done == ["a", "b"]
    spans = spans_of(stages)
    assert list(spans) == ["a", "b"] and all(began <= ended for began, ended in spans.values())
    assert "1/2 a: done before" in capsys.readouterr().out


def test_steps_of_both_stages_of_a_run_are_counted(tmp_path):
    assert steps_done(tmp_path) == 0
    (tmp_path / "projector").mkdir()
    (tmp_path / "projector" / "metrics.jsonl").write_text("{}\n{}\n")
    (tmp_path / "metrics.jsonl").write_text('{}\n{}\n{}\n{"step"')
    assert steps_done(tmp_path) == 5
