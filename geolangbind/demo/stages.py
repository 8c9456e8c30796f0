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
_HELD_OUT_SEED = 1000  # added: the training recipe was compared on the test split of the training planet's own seed


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: shown in the budget.
        seconds: what it took on two cores, roughly (docs/results.md); the budget shown before anything starts.
        done: whether its files are there.
        run: does it.
    """

    name: str
    seconds: float
    done: Callable[[], bool]
    run: Callable[[], object]


def stages(profile: Profile, out: Path, seed: int, threads: int) -> list[Stage]:
    """The stages of a profile, writing below `out`."""

    def has_model(name: str) -> Callable[[], bool]:
        return lambda: any((out / name / place).is_file() for place in (CONFIG, f"model/{CONFIG}"))

    def shards(name: str, scenes: int, split: str, planet_seed: int = seed) -> Stage:
        size = max(12, min(480, -(-scenes // 12)))
        workers = 2 if scenes >= _WORTH_PROCESSES else 1
        return Stage(
            f"planet: {scenes} scenes in six modalities ({split})",
            0.008 * scenes + 1,
            lambda: (out / name / "index.json").is_file(),
            lambda: write_planet(out / name, scenes, planet_seed, workers=workers, samples_per_shard=size, split=split),
        )

    def trained(title: str, name: str, steps: int, step_s: float, *overrides: str) -> Stage:
        settings = (*overrides, f"steps={steps}")
        return Stage(title, 5 + step_s * steps, has_model(name), lambda: _train(profile, out, name, seed, threads, settings))

    warm = (f"model='{out / 'base-rgb'}'", "experiment=demo_warmup")
    branch = (f"model='{out / 'base'}'", "experiment=demo_branch")
    found = [
        shards("planet", profile.scenes, "train"),
        shards("planet-val", profile.held_out, "test", seed + _HELD_OUT_SEED),
        shards("planet-tune", profile.tuning, "validation"),
        trained("base: RGB from random weights", "base-rgb", profile.base_steps, 0.07, "experiment=demo_base", "sensor_group=rgb"),
        trained("base: warm-up on every sensor", "base", profile.warmup_steps, 0.09, *warm),
        Stage(
            "teachers: scene classifier, land-cover mapper",
            0.12 * profile.teacher_steps,
            lambda: all((out / "teachers" / kind / CONFIG).is_file() for kind in KINDS),
            lambda: _train_teachers(profile, out, seed),
        ),
        Stage(
            "teachers' features into the shards",
            0.009 * profile.scenes,
            lambda: (out / "planet" / ".features").is_file(),
            lambda: _add_features(out),
        ),
        trained("branch: rgb", "rgb", profile.rgb_steps, 0.14, *branch, "sensor_group=rgb"),
        trained("branch: others", "others", profile.others_steps, 0.16, *branch, "sensor_group=others"),
        Stage("merge-weights --m1 0.9 --m2 0.5", 1, has_model("merged"), lambda: merge(out, 0.5, {}, "merged")),
        Stage(
            "merge: kernel generator from others",
            1,
            has_model(GENERATOR_FROM_OTHERS),
            lambda: merge(out, 0.5, {"generator": [0.9, 1.0]}, GENERATOR_FROM_OTHERS),
        ),
    ]
    if profile.joint_steps:
        title = "joint: one run on all sensors, equal compute"
        joint = trained(title, "joint", profile.joint_steps, 0.15, *branch, "sensor_group=all")
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
