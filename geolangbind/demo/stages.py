"""The demo's stages in order. Each leaves files; a stage whose files are there is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from geolangbind.checkpoint import CONFIG
from geolangbind.demo.profile import Profile
from geolangbind.demo.teachers import KINDS, train_teacher
from geolangbind.features import add_features
from geolangbind.hydra_entry import compose
from geolangbind.planet.write import write_planet
from geolangbind.train.run import train
from geolangbind.train.settings import from_config

GENERATOR_FROM_OTHERS = "merged-generator"
_WORTH_PROCESSES = 400  # fewer scenes are drawn before a second process has started


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: shown in the budget.
        share: of the whole demo's time, roughly.
        done: whether its files are there.
        run: does it.
    """

    name: str
    share: float
    done: Callable[[], bool]
    run: Callable[[], object]


def stages(profile: Profile, out: Path, seed: int, threads: int) -> list[Stage]:
    """The stages of a profile, writing below `out`."""

    def has_model(name: str) -> Callable[[], bool]:
        return lambda: any((out / name / place).is_file() for place in (CONFIG, f"model/{CONFIG}"))

    def shards(name: str, scenes: int, split: str, share: float) -> Stage:
        size = max(12, min(480, -(-scenes // 12)))
        workers = 2 if scenes >= _WORTH_PROCESSES else 1
        return Stage(
            f"planet: {scenes} scenes in six modalities ({split})",
            share,
            lambda: (out / name / "index.json").is_file(),
            lambda: write_planet(out / name, scenes, seed, workers=workers, samples_per_shard=size, split=split),
        )

    def trained(title: str, name: str, share: float, *overrides: str) -> Stage:
        return Stage(title, share, has_model(name), lambda: _train(profile, out, name, seed, threads, overrides))

    branch = (f"model='{out / 'base'}'", "experiment=demo_branch")
    found = [
        shards("planet", profile.scenes, "train", 0.25),
        shards("planet-val", profile.held_out, "test", 0.04),
        shards("planet-tune", profile.tuning, "validation", 0.02),
        trained(
            "base: RGB from random weights", "base-rgb", 0.12, "experiment=demo_base", "sensor_group=rgb", f"steps={profile.base_steps}"
        ),
        trained(
            "base: warm-up on every sensor",
            "base",
            0.18,
            "experiment=demo_warmup",
            f"model='{out / 'base-rgb'}'",
            f"steps={profile.warmup_steps}",
        ),
        Stage(
            "teachers: scene classifier, land-cover mapper",
            0.06,
            lambda: all((out / "teachers" / kind / CONFIG).is_file() for kind in KINDS),
            lambda: _train_teachers(profile, out, seed),
        ),
        Stage("teachers' features into the shards", 0.05, lambda: (out / "planet" / ".features").is_file(), lambda: _add_features(out)),
        trained("branch: rgb", "rgb", 0.06, *branch, "sensor_group=rgb", f"steps={profile.rgb_steps}"),
        trained("branch: others", "others", 0.15, *branch, "sensor_group=others", f"steps={profile.others_steps}"),
        Stage("merge-weights --m1 0.9 --m2 0.5", 0.005, has_model("merged"), lambda: merge(out, 0.5, {}, "merged")),
        Stage(
            "merge: kernel generator from others",
            0.005,
            has_model(GENERATOR_FROM_OTHERS),
            lambda: merge(out, 0.5, {"generator": [0.9, 1.0]}, GENERATOR_FROM_OTHERS),
        ),
    ]
    if profile.joint_steps:
        joint = trained(
            "joint: one run on all sensors, equal compute", "joint", 0.15, *branch, "sensor_group=all", f"steps={profile.joint_steps}"
        )
        found.insert(9, joint)
    return found


def merge(out: Path, m2: float, parts: dict[str, list[float]], name: str) -> None:
    """Merge base, rgb and others with m1 = 0.9."""
    from merge_weights import merge as merge_weights

    steps = [(out / "rgb", 0.9), (out / "others", m2)]
    command = f"merge-weights --base {out}/base --rgb {out}/rgb --others {out}/others --m1 0.9 --m2 {m2:g} --out {out / name}"
    merge_weights(out / "base", steps, out / name, parts=parts, overwrite=True, command=command)


def _train(profile: Profile, out: Path, name: str, seed: int, threads: int, overrides: Sequence[str]) -> None:
    places = [f"data='{out / 'planet'}'", f"run_dir='{out / name}'"]
    common = [*places, f"seed={seed}", f"batch_size={profile.batch_size}", f"machine.threads={threads}"]
    train(from_config(compose("train", [*overrides, *common])))


def _train_teachers(profile: Profile, out: Path, seed: int) -> None:
    for kind in KINDS:
        train_teacher(kind, out / "planet", out / "teachers" / kind, profile.teacher_steps, profile.batch_size, seed)


def _add_features(out: Path) -> None:
    sources = {"siglip": str(out / "base"), **{kind: str(out / "teachers" / kind) for kind in KINDS}}
    add_features(out / "planet", sources, progress=lambda shards: track(shards, "features", total=len(shards)))
    (out / "planet" / ".features").write_text(time.strftime("%Y-%m-%d\n"), encoding="utf-8")
