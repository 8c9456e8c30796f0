"""One cell of the study: train (or merge) one arm with one seed, measure it, write `measures.json`. A finished cell is not done again."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from geolangbind.checkpoint import CONFIG, atomic_path
from geolangbind.demo.profile import Profile
from geolangbind.hydra_entry import compose
from geolangbind.model import GeoLangBind
from geolangbind.models import zoo
from geolangbind.models.two_tower import TwoTower
from geolangbind.study import unseen
from geolangbind.study.arms import ARMS, BASE, Arm
from geolangbind.study.measure import measure
from geolangbind.train.run import train
from geolangbind.train.settings import from_config
from geolangbind.weights.load import load

MEASURES = "measures.json"
_M1, _M2 = 0.9, 0.5
_ALL = 1_000_000  # held-out scenes: all there are
_PUBLISHED_RADAR_UM = 5.405  # what released models were fed for C-band: its frequency in GHz


def cell_folder(out: Path, name: str, seed: int) -> Path:
    """Where a cell lies; the base is shared by all seeds."""
    return out / "shared" / BASE if name == BASE else out / f"seed-{seed}" / name


def is_done(out: Path, name: str, seed: int) -> bool:
    """Whether a cell is trained and measured."""
    return (cell_folder(out, name, seed) / MEASURES).is_file()


def run_cell(out: Path, name: str, seed: int, shared: Profile, threads: int = 1, scale: float = 1.0) -> None:
    """Train, measure, write.

    Args:
        out: folder of the study, whose `shared` part is there.
        name: of an arm in `ARMS`, or "base", which is only measured.
        seed: of data order, augmentation and, from random weights, of those.
        shared: sizes.
        threads: of torch.
        scale: factor of all steps; for tests.
    """
    torch.set_num_threads(threads)
    arm = next((arm for arm in ARMS if arm.name == name), Arm(BASE, "base", measures=("probes", "unseen")))
    folder = cell_folder(out, name, seed)
    if not any((folder / place).is_file() for place in (CONFIG, f"model/{CONFIG}")):
        _make(out, arm, seed, shared, threads, scale)
    measured = measure_cell(load(folder), out / "shared", arm)
    with atomic_path(folder / MEASURES) as part:
        part.write_text(json.dumps({"arm": name, "seed": seed, **measured}, indent=1) + "\n", encoding="utf-8")


def measure_cell(model: GeoLangBind, shared: Path, arm: Arm) -> dict[str, Any]:
    """Zero-shot on the held-out scenes, always, and what `Arm.measures` asks for; by measure, then by modality or sensor."""
    bank = shared / "planet" if "probes" in arm.measures else None
    found: dict[str, Any] = dict(measure(model, shared / "planet-val", bank, scenes=_ALL, modalities=arm.modalities))
    if "unseen" in arm.measures:
        found["unseen"] = unseen.accuracy_kept(model, shared / "unseen")
    return found


def _make(out: Path, arm: Arm, seed: int, shared: Profile, threads: int, scale: float) -> None:
    folder = cell_folder(out, arm.name, seed)
    if arm.parts:
        from merge_weights import merge

        sources = [cell_folder(out, part, seed) for part in arm.parts]
        merge(cell_folder(out, BASE, seed), list(zip(sources, (_M1, _M2), strict=True)), folder)
        return
    start = cell_folder(out, arm.start, seed)
    if arm.start in ("codes", "no codes"):
        start = out / f"seed-{seed}" / f"start-{arm.start.replace(' ', '-')}"
        random_start(start, seed, kinds=arm.start == "codes", batch_size=shared.batch_size)
    common = (
        f"model='{start}'", f"data='{out / 'shared' / 'planet'}'", f"run_dir='{folder}'", f"steps={max(1, round(scale * arm.steps))}",
        f"seed={seed}", f"batch_size={shared.batch_size}", f"machine.threads={threads}", "progress=false",
    )  # fmt: skip
    train(from_config(compose("train", [*arm.settings, *common])))


def random_start(folder: Path, seed: int, *, kinds: bool, batch_size: int) -> None:
    """Write a tiny model with random weights, with or without codes of physical kinds (without: radar is one number, as published).

    The logit bias starts at the log odds of a positive pair in a batch without repeated places.
    """
    torch.manual_seed(seed)
    model, size = zoo.build("tiny"), zoo.SIZES["tiny"]
    if not kinds:
        model.towers = TwoTower(replace(size.vision, kinds=False, radar_um=_PUBLISHED_RADAR_UM), size.text)
    with torch.no_grad():
        model.towers.logit_bias.fill_(-math.log(max(1, batch_size - 1)))
    model.save(folder)
