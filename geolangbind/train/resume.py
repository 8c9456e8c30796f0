"""Whether a run folder may be gone on with, from where, and whether there is anything left to do."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from geolangbind.checkpoint import CONFIG, read_config
from geolangbind.errors import CheckpointError, SettingsError
from geolangbind.train.borders import Task
from geolangbind.train.loop import Progressed, what_stays
from geolangbind.train.run_settings import RunSettings
from geolangbind.train.state import newest_state, prune, restore_state

TOOL = "geolangbind-train"
# what changes nothing of what a step does to the weights, or has a check of its own (steps, data, sources of teachers)
_MAY_CHANGE = frozenset(
    {
        "steps", "data", "on_error", "max_skipped", "run_dir", "resume", "progress", "machine", "deterministic", "memory_chunk",
        "checkpoint_every", "keep_checkpoints", "best_metric", "best_is", "validation", "report", "pairs", "feature_cache",
    }
)  # fmt: skip
_NOT_GIVEN = "not given"


@contextmanager
def claimed(run_dir: Path, lead: bool) -> Iterator[None]:
    """Hold a run folder for this training; the claim ends with the process, however it ends, and leaves nothing behind.

    Args:
        run_dir: made if it is not there.
        lead: claim it; other processes of the same training do nothing.

    Raises:
        SettingsError: another process holds it.
    """
    if not lead:
        yield
        return
    if not run_dir.is_dir():
        run_dir.mkdir(parents=True)
    handle = os.open(run_dir, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise SettingsError(f"{run_dir}: another process trains in this folder; wait for it, or give another run_dir") from None
    except OSError:
        pass  # some network file systems have no locks; two starts in one folder are then the user's to avoid
    try:
        yield
    finally:
        os.close(handle)
        if not any(run_dir.iterdir()):  # a training that was refused leaves no empty folder
            with suppress(OSError):
                run_dir.rmdir()


def check_resumable(run_dir: Path, settings: RunSettings, fingerprint: str) -> None:
    """Refuse to mix two runs in one folder. Reads only; a folder without checkpoint and model passes.

    Args:
        run_dir: of the run.
        settings: of this start.
        fingerprint: of the shards of this start.

    Raises:
        SettingsError: the folder is to be new (`resume=never`), was trained on other data or with other settings,
            or is further than `steps`.
    """
    newest = newest_state(run_dir)
    if newest is None and not (run_dir / "model" / CONFIG).is_file():
        return
    held = newest.name if newest else "a model"
    if settings.resume == "never":
        raise SettingsError(f"{run_dir} already holds {held}; continue it (resume=auto), or give another run_dir")
    if (before := _record(run_dir).get("data", {}).get("fingerprint", fingerprint)) != fingerprint:
        raise SettingsError(
            f"{run_dir} ({held}) was trained on other data ({before[:12]}, now {fingerprint[:12]}); "
            "give another run_dir, or delete this one"
        )
    if changed := changed_settings(run_dir, settings):
        told = ", ".join(f"{name}={now} (before: {then})" for name, (then, now) in changed.items())
        raise SettingsError(f"{run_dir} ({held}) was trained with other settings: {told}; give them as before, or give another run_dir")
    if newest and (done := int(newest.name.removeprefix("step-"))) > settings.steps:
        raise SettingsError(f"{run_dir} has {done} steps already, steps={settings.steps} is less; give steps>={done}, or another run_dir")


def changed_settings(run_dir: Path, settings: RunSettings) -> dict[str, tuple[Any, Any]]:
    """Settings that differ from those of the start before and would make another model: name to (before, now).

    Settings that the earlier start did not know yet count as their neutral default.
    """
    path = run_dir / "config.yaml"
    if not path.is_file():
        return {}
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SettingsError(f"cannot read {path}: {str(error).splitlines()[0]}; restore it, or give another run_dir") from None
    neutral = asdict(settings.neutral())
    before = {**_leaves({**neutral, "sensor_group": {}}), **_leaves(written)}
    now = _leaves(asdict(settings))
    different = {}
    for name in sorted(before.keys() | now.keys()):
        then, this = before.get(name, _NOT_GIVEN), now.get(name, _NOT_GIVEN)
        moved = (
            name.startswith("teachers.choices.") and name.endswith(".source") and "" not in (then, this) and _NOT_GIVEN not in (then, this)
        )
        if then != this and not moved and name.split(".")[0] not in _MAY_CHANGE:
            different[name] = (then, this)
    return different


def is_finished(run_dir: Path, settings: RunSettings) -> bool:
    """Whether the folder holds the model of this run after all its steps. Ask `check_resumable` first."""
    try:
        made = read_config(run_dir / "model", settings.model_format).get("provenance", {})
    except CheckpointError:
        return False
    return (run_dir / "config.yaml").is_file() and (made.get("tool"), made.get("steps")) == (TOOL, settings.steps)


def resume(
    run_dir: Path, settings: RunSettings, teachers: Mapping[str, str], task: Task, optimizer: torch.optim.Optimizer, lead: bool
) -> Progressed:
    """Bring a run back to its newest whole checkpoint, in place; a run without any stands at step 0.

    Args:
        run_dir: of the run, checked by `check_resumable`.
        settings: of the run.
        teachers: identities of the live teachers.
        task: what is trained.
        optimizer: over its parameters.
        lead: see `restore_state`.

    Raises:
        SettingsError: a teacher is not the one that the run had.
        CheckpointError: see `restore_state`.
    """
    if newest_state(run_dir) is None:
        return Progressed(0, {})
    before = _record(run_dir).get("teachers", teachers)
    if others := sorted(name for name in before.keys() | teachers.keys() if before.get(name) != teachers.get(name)):
        which = ", ".join(f"{name} ({before.get(name, 'from the shards')}, now {teachers.get(name, 'from the shards')})" for name in others)
        raise SettingsError(f"{run_dir} was trained with another teacher {which}; give it as before, or give another run_dir")
    restored = restore_state(run_dir, task, optimizer, lead)
    if restored is None:
        return Progressed(0, {})
    if lead:
        prune(run_dir, what_stays(settings))
    told, average = restored
    task.restore_notes(told)
    return Progressed(int(told["step"]), average if settings.ema_decay else {}, set(told.get("skipped", ())))


def _record(run_dir: Path) -> dict[str, Any]:
    path = run_dir / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise SettingsError(f"cannot read {path}: {error}; restore it, or give another run_dir") from None
    return record if isinstance(record, dict) else {}


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= _leaves(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
