"""How every training run starts: its processes, the check of its folder, and what it writes down to be repeated."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from geolangbind.checkpoint import atomic_path
from geolangbind.train.distributed import launched, strategy
from geolangbind.train.resume import check_resumable, is_finished
from geolangbind.train.run_settings import RunSettings
from geolangbind.train.state import sweep

if TYPE_CHECKING:
    from lightning.fabric import Fabric

_PACKAGES = ("geolangbind", "torch", "timm", "open_clip_torch", "lightning", "webdataset", "numpy")


def launch(settings: RunSettings) -> Fabric:
    """Fabric with its processes started, seeded alike."""
    from lightning.fabric import Fabric

    machine = settings.machine
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if machine.threads:
        torch.set_num_threads(machine.threads)
    torch.use_deterministic_algorithms(settings.deterministic)
    devices, nodes = launched(machine)
    fabric = Fabric(
        accelerator=machine.accelerator, devices=devices, num_nodes=nodes, precision=machine.precision,
        strategy=strategy(devices, nodes, machine.strategy),
    )  # fmt: skip
    fabric.launch()
    torch.manual_seed(settings.seed)
    return fabric


def done_before(run_dir: Path, settings: RunSettings, fingerprint: str, lead: bool) -> bool:
    """Tidy up and check the run folder; whether there is nothing left to train, which is then said.

    Raises:
        SettingsError: see `check_resumable`.
    """
    from rich.console import Console

    if lead:
        sweep(run_dir)  # here, because a run killed before its first checkpoint leaves something too
    check_resumable(run_dir, settings, fingerprint)
    if not is_finished(run_dir, settings):
        return False
    if lead:
        told = f"{run_dir} has done its {settings.steps} steps before; its model stays as it is (more steps go on from there)"
        Console(stderr=True, highlight=False, soft_wrap=True).print(told)
    return True


def describe(run_dir: Path, settings: RunSettings, facts: Mapping[str, Any], more_packages: Sequence[str] = ()) -> None:
    """Keep what is needed to repeat the run: command, versions, settings, and `facts` (`data` with its fingerprint among them)."""
    run_dir.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "command": " ".join(sys.argv),
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in (*_PACKAGES, *more_packages)}},
        **facts,
    }
    with atomic_path(run_dir / "run.json") as part:
        part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    with atomic_path(run_dir / "config.yaml") as part:
        part.write_text(yaml.safe_dump(asdict(settings), sort_keys=False), encoding="utf-8")
