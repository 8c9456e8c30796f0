"""Lanes, chains of stages that do not wait for each other, in processes of their own.

A second torch thread makes a training of this size 1.2 times as fast; two processes of one thread each do nearly twice as much.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from geolangbind.demo_interleaved.stages import LANES, Demo, Spans, Stage, Tell, do, do_one, lane_stages, shared_stages, spans_of
from geolangbind.errors import GeoLangBindError

_LOOK_EVERY_S = 0.5
_FINE = 0.002  # shares closer than this are not told: an MLP's steps are many and short
_SPEED_PERIOD_S = 600.0  # the interleaved run writes its log some tens of steps at a time
_END_WITHIN_S = 10.0


@dataclass(frozen=True)
class Lane:
    """One lane.

    Attributes:
        seed: of its models.
        name: one of `LANES`.
    """

    seed: int
    name: str

    def stages(self, demo: Demo) -> list[Stage]:
        """Its stages, in order."""
        return lane_stages(demo, self.seed, self.name)

    def log(self, demo: Demo) -> Path:
        """File of what it says where it has a process of its own."""
        return demo.folder(self.seed) / f"{self.name}.log"


def do_all(demo: Demo, console: Console) -> Spans:
    """Do what is not done of a demo: first what all lanes need, then lanes, as many at a time as `demo.threads`.

    Returns:
        When each of its stages ran, now or before.

    Raises:
        GeoLangBindError: of a stage; or a lane's process was killed. Other lanes are stopped, and go on in the next run.
    """
    shared, lanes = shared_stages(demo), [Lane(seed, name) for seed in range(demo.profile.seeds) for name in LANES]
    rest = [stage for lane in lanes for stage in lane.stages(demo)]
    every = [*shared, *rest]
    do(shared, console, of=len(every))
    open_lanes = [lane for lane in lanes if not all(stage.done() for stage in lane.stages(demo))]
    if min(demo.threads, len(open_lanes)) > 1:
        titles = {stage.name: f"{number}/{len(every)} {stage.name}" for number, stage in enumerate(every, 1)}
        for stage in rest:
            if stage.done():
                console.print(f"{titles[stage.name]}: done before")
        side_by_side(demo, open_lanes, titles, console)
    else:
        do(rest, console, len(shared) + 1, len(every))
    return spans_of(every)


def side_by_side(demo: Demo, lanes: Sequence[Lane], titles: Mapping[str, str], console: Console) -> None:
    """Do lanes in processes that share the cores among them, and show a bar for each stage that runs.

    Args:
        demo: whose shared stages are done.
        lanes: in the order in which they are started.
        titles: what is shown, by name of stage.
        console: for the bars and for the stages that are through.

    Raises:
        GeoLangBindError: the first that a lane raises, with the path of its log; the other lanes are stopped.
    """
    at_once = min(demo.threads, len(lanes))
    theirs = replace(demo, threads=demo.threads // at_once)
    waiting, running = list(lanes), dict[Connection, tuple[Lane, SpawnProcess]]()
    with _progress(console, demo.progress) as progress:
        board = _Board(progress, titles, {stage.name: stage for lane in lanes for stage in lane.stages(demo)}, {})
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    connection, process = _start(theirs, waiting[0])
                    running[connection] = (waiting[0], process)
                    board.tell(next(stage.name for stage in waiting.pop(0).stages(demo) if not stage.done()), 0.0)
                ready = wait(list(running), _LOOK_EVERY_S)
                for connection in [one for one in running if one in ready]:
                    if not _hear(connection, board):
                        _check_end(theirs, *running.pop(connection))
                board.look()
        finally:
            _end([process for _, process in running.values()])


def end_with_parent() -> None:
    """Let this process get a SIGTERM as soon as the one that started it has ended, killed or not."""
    threading.Thread(target=_await_parent, daemon=True).start()


def _progress(console: Console, shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, speed_estimate_period=_SPEED_PERIOD_S, disable=not shown)


@dataclass(frozen=True)
class _Board:
    """Bars of the stages that run."""

    progress: Progress
    titles: Mapping[str, str]
    stages: Mapping[str, Stage]
    bars: dict[str, TaskID]

    def tell(self, name: str, share: float) -> None:
        """Show how far a stage is; one that has told nothing above 0 has a bar that only moves."""
        if name not in self.bars:
            self.bars[name] = self.progress.add_task(self.titles[name], total=None)
        if share > 0:
            self.progress.update(self.bars[name], total=1.0, completed=share)

    def end(self, name: str) -> None:
        """Turn the bar of a stage into a line."""
        bar = self.bars.pop(name)
        (task,) = (task for task in self.progress.tasks if task.id == bar)
        self.progress.remove_task(bar)
        self.progress.console.print(f"{self.titles[name]}: {task.elapsed or 0:.0f} s")

    def look(self) -> None:
        """Show what the files of the stages tell."""
        for name in self.bars:
            share = self.stages[name].share
            if share is not None:
                self.tell(name, share())


def _start(demo: Demo, lane: Lane) -> tuple[Connection, SpawnProcess]:
    # spawned, not forked: torch's threads in this process do not survive a fork
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_do_lane, args=(demo, lane, theirs, time.time()), name=f"lane {lane.name} {lane.seed}")
    process.start()
    theirs.close()  # only the lane holds it now: when the lane has ended, however it did, our end says so
    return ours, process


def _hear(connection: Connection, board: _Board) -> bool:
    """Show what a lane has said since the last time; whether it may say more."""
    try:
        while connection.poll():
            said = connection.recv()
            if isinstance(said, GeoLangBindError):
                raise said
            name, share = said
            if share is None:
                board.end(name)
            else:
                board.tell(name, share)
    except EOFError:
        connection.close()
        return False
    return True


def _check_end(demo: Demo, lane: Lane, process: SpawnProcess) -> None:
    process.join()
    if process.exitcode:
        raise GeoLangBindError(
            f"seed {lane.seed}: the process of lane '{lane.name}' ended with code {process.exitcode} (-9: killed, out of memory?); "
            f"see {lane.log(demo)}, and run the same command again or with --threads 1"
        )


def _end(processes: Sequence[SpawnProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_END_WITHIN_S)
        if process.is_alive():
            process.kill()
            process.join()


def _do_lane(demo: Demo, lane: Lane, connection: Connection, began: float) -> None:
    """What a lane's process does; it was started at `began`, and its imports are counted as its first stage's time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first of them ends the others
    signal.signal(signal.SIGTERM, _leave)
    end_with_parent()
    _write_to(lane.log(demo))
    torch.set_num_threads(demo.threads)
    try:
        for stage in lane.stages(demo):
            if not stage.done():
                connection.send((stage.name, 0.0))
                do_one(stage, _teller(connection, stage.name), began)
                began = time.time()
                connection.send((stage.name, None))
    except GeoLangBindError as error:
        connection.send(type(error)(f"{error} (seed {lane.seed}, lane '{lane.name}'; log: {lane.log(demo)})"))


def _teller(connection: Connection, name: str) -> Tell:
    last = 0.0

    def tell(share: float) -> None:
        nonlocal last
        if share - last >= _FINE:
            last = share
            connection.send((name, share))

    return tell


def _write_to(log: Path) -> None:
    """Let all that this process says go into a file: between the bars of the first process it would tear them."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = log.open("a", encoding="utf-8", buffering=1)
    for number in (1, 2):  # of libraries in C, too
        os.dup2(file.fileno(), number)
    sys.stdout = sys.stderr = file


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(1)  # unlike the signal itself it lets half-written files be removed


def _await_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
