"""Trainings that kill themselves (SIGKILL) at a counted or named moment. Run by test_kill.py.

`kill_worker.py warm` imports everything once, then forks one child per line of JSON on its input and answers with how the child ended.
`kill_worker.py cold ORDER key=value ...` is one start of the command `geolangbind-train key=value ...` in a fresh process.
An order is {"argv": [...]} or {"config": {...}}, with "run_dir", "note" (a file for moments passed) and "at" (a moment, its number or
null).
"""

import importlib
import json
import os
import re
import signal
import sys
import threading
import traceback
from pathlib import Path

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
MODULES = ("geolangbind.commands", "geolangbind.train.run", "lightning.fabric", "torch.utils.tensorboard.writer", "open_clip", "hydra")


class Moments:
    """Counts what a training does to its run folder, and ends the process before (or in the middle of) the chosen operation."""

    def __init__(self, run_dir, note, at):
        self.run_dir, self.note, self.at, self.count = str(run_dir), os.open(note, os.O_WRONLY | os.O_CREAT | os.O_APPEND), at, 0

    def name_of(self, path):
        name = str(path).removeprefix(f"{self.run_dir}/")
        return re.sub(r"\.(\d+)\.(part|old)", r".\2", name)

    def passed(self, moment, before_death=None):
        """Note a moment; die if it is the chosen one, after doing `before_death`."""
        os.write(self.note, f"{moment}\n".encode())
        chosen = self.count == self.at if isinstance(self.at, int) else self.at == moment
        self.count += 1
        if chosen:
            if before_death:
                before_death()
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event, args):
        """`sys.addaudithook`: raised by the interpreter before it opens, renames, removes or makes anything."""
        if event not in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"):
            return
        if threading.current_thread() is not threading.main_thread():
            return
        path = os.fsdecode(args[0]) if isinstance(args[0], (str, bytes, os.PathLike)) else ""
        inside = path.startswith(self.run_dir) or (event in ("os.remove", "os.rmdir") and not path.startswith("/"))
        if inside and "tensorboard" not in path and (event != "open" or (args[2] or 0) & WRITES):
            self.passed(f"{event.removeprefix('os.')} {self.name_of(path)}")

    def install(self):
        """Watch the interpreter's file operations, syncing, the writing of tensors, log rows and optimiser steps."""
        import safetensors.torch
        from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        from geolangbind.train import log, state

        sync, save, row = os.fsync, state.save_file, log.Log.write

        def watched_sync(handle):
            self.passed(f"sync {self.name_of(Path(f'/proc/self/fd/{handle}').readlink())}")
            sync(handle)

        def watched_save(tensors, path, *rest):
            name = self.name_of(path)
            self.passed(f"save {name}")
            save(tensors, path, *rest)
            self.passed(f"half {name}", lambda: os.truncate(path, Path(path).stat().st_size // 2))

        def watched_row(journal, told):
            self.passed(f"row {told['step']}")

            def half():
                journal._metrics.write(f'{{"step": {told["step"]}, "sens')
                journal._metrics.flush()

            self.passed(f"half row {told['step']}", half)
            row(journal, told)
            self.passed(f"row {told['step']} written", journal._metrics.flush)

        os.fsync, state.save_file, log.Log.write = watched_sync, watched_save, watched_row
        safetensors.torch.save_file = watched_save  # what write_model imports
        steps = {"before": 0, "after": 0}

        def watched_step(when):
            def hook(*_):
                steps[when] += 1
                self.passed(f"{when} step {steps[when]} of this start")

            return hook

        register_optimizer_step_pre_hook(watched_step("before"))
        register_optimizer_step_post_hook(watched_step("after"))
        sys.addaudithook(self.audit)


def start(order):
    """One start of a training, which may not live to its end."""
    import torch

    torch.set_num_threads(1)
    Moments(order["run_dir"], order["note"], order.get("at")).install()
    if "argv" in order:
        from geolangbind.commands import train

        sys.argv = ["geolangbind-train", *order["argv"]]
        train()
    else:
        from geolangbind.train.run import train
        from geolangbind.train.settings import from_config

        train(from_config(order["config"]))


def serve():
    """Fork a child per order. This process runs no training itself: a child inherits its imports and nothing else."""
    for name in MODULES:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                start(json.loads(line))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answers.write(f"{code}\n")
        answers.flush()


if __name__ == "__main__":
    if sys.argv[1] == "warm":
        serve()
    else:
        start({**json.loads(sys.argv[2]), "argv": sys.argv[3:]})
