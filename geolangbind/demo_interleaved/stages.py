"""The demo's stages: those that all need, and two lanes per seed. Each leaves files; a stage whose files are there is not done again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from rich.console import Console

from geolangbind.checkpoint import CONFIG, atomic_path, save_tensors
from geolangbind.demo_interleaved.box_type import box_and_type, kinds_of
from geolangbind.demo_interleaved.dual import FORMS, dual_encoder
from geolangbind.demo_interleaved.fit import Recipe, drawer, fit
from geolangbind.demo_interleaved.goals import BOX_TYPE, CUT, DUAL, MLP, OURS, TOLD
from geolangbind.demo_interleaved.mlp import region_mlp
from geolangbind.demo_interleaved.parts import Form, PartsModel, as_ranked
from geolangbind.demo_interleaved.profile import TASKS, Profile
from geolangbind.demo_interleaved.standings import load_standings, rank_all, ranking_rows, save_standings, tasks_of
from geolangbind.demo_interleaved.table import Results
from geolangbind.demo_interleaved.trained import as_ranked as encoder_as_ranked
from geolangbind.demo_interleaved.trained import has_features, images_of, settings_for, steps_done, training_flops
from geolangbind.demo_interleaved.world import write_world
from geolangbind.errors import SettingsError
from geolangbind.instruct.images import Images
from geolangbind.instruct.ranking import Standings
from geolangbind.instruct.rows import PAIRS_NAME, Pairs
from geolangbind.instruct.run import start_encoder, train
from geolangbind.interleaved.encoder import InterleavedEncoder
from geolangbind.planet.regions import GROUPS
from geolangbind.weights.load import load
from geolangbind.weights.read import read_weights

SPLITS = ("validation", "test")
TIMES = "times.json"
OURS_LANE, CONTROLS_LANE = "interleaved", "controls"
_REGIONS = (*(f"region_{group}" for group in GROUPS), "referring")
_NO_MIX = (*_REGIONS, "place", "place_to_image", "scene_class", "caption")  # what a dual encoder is asked


Tell = Callable[[float], None]
"""Takes the share of a stage that is done."""
Spans = Mapping[str, tuple[float, float]]
"""When stages began and ended, in seconds since 1970, by name."""


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: shown.
        times: file that holds when it ran; stages that may run at the same time have different ones.
        done: whether its files are there.
        run: does it, and tells the share that is done if it knows.
        share: the share that is done as its files tell it, for a stage that does not tell.
    """

    name: str
    times: Path
    done: Callable[[], bool]
    run: Callable[[Tell], object]
    share: Callable[[], float] | None = None


@dataclass(frozen=True)
class Demo:
    """A demo on disk.

    Attributes:
        profile: its sizes.
        out: its folder.
        split: whose scenes are ranked.
        threads: cores to use: of torch, or processes where stages do not wait for each other.
        progress: show bars.
    """

    profile: Profile
    out: Path
    split: str
    threads: int
    progress: bool = True

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise SettingsError(f"split is '{self.split}'; use one of {', '.join(SPLITS)}")

    @property
    def features(self) -> Path:
        """What the vision tower sees of all images, for every seed and recipe."""
        return self.out / "features"

    def folder(self, seed: int) -> Path:
        """Of the models of a seed."""
        return self.out / "models" / f"{self.profile.key()}-seed-{seed}"

    def pairs(self, split: str) -> Pairs:
        """Rows of a split, once the world is drawn."""
        return Pairs.open(self.out / "world" / split / "pairs")

    def ranked(self, seed: int, model: str) -> Path:
        """File of a model's standings."""
        return self.folder(seed) / f"{self.split}-{model}.npz"

    def times(self, seed: int, lane: str) -> Path:
        """File that holds when the stages of a lane ran."""
        return self.folder(seed) / f"times-{lane}.json"


def shared_stages(demo: Demo) -> list[Stage]:
    """What all lanes need, in order."""
    return [world_stage(demo), _features(demo)]


def lane_stages(demo: Demo, seed: int, lane: str) -> list[Stage]:
    """The stages of one of the `LANES` of a seed, in order. They need the shared ones and no other lane's."""
    return [stage(demo, seed) for stage in _STAGES[lane]]


def world_stage(demo: Demo) -> Stage:
    """The data. A world of other sizes in the same folder is refused."""
    folder, settings, splits = demo.out / "world", demo.profile.world, ("train", demo.split)
    told = folder / "world.json"

    def done() -> bool:
        if not told.is_file():
            return False
        if json.loads(told.read_text(encoding="utf-8")) != asdict(settings):
            raise SettingsError(f"{folder} is a world of other sizes than profile {demo.profile.name}'s; give --out, or delete it")
        return all((folder / split / "pairs" / PAIRS_NAME).is_file() for split in splits)

    def run(tell: Tell) -> None:
        models = demo.out / "models"
        if models.is_dir() and not (folder / "train" / "pairs" / PAIRS_NAME).is_file():
            raise SettingsError(f"{models} holds models of a world that is gone; delete it too, or give another --out")
        with atomic_path(told) as part:
            part.write_text(json.dumps(asdict(settings), indent=1) + "\n", encoding="utf-8")
        write_world(folder, settings, splits, workers=demo.threads, progress=demo.progress)

    return Stage("world: scenes, rows and rankings", folder / TIMES, done, run)


def _features(demo: Demo) -> Stage:
    """What the frozen vision tower sees; the same for all seeds."""

    def encoder() -> InterleavedEncoder:
        return start_encoder(settings_for(demo.profile.recipe, demo.pairs("train"), demo.features, demo.out, 0, demo.threads))

    def done() -> bool:
        return demo.features.is_dir() and has_features([demo.pairs(split) for split in ("train", demo.split)], encoder(), demo.features)

    def run(tell: Tell) -> None:
        eye = encoder()
        for split in ("train", demo.split):
            images_of(demo.pairs(split), eye, demo.features, progress=demo.progress)

    return Stage(f"vision features of train and {demo.split}", demo.features / TIMES, done, run)


def _interleaved(demo: Demo, seed: int) -> Stage:
    run_dir, recipe = demo.folder(seed) / "interleaved", demo.profile.recipe
    steps = recipe["steps"] + recipe.get("projector_steps", 0)

    def run(tell: Tell) -> None:
        settings = settings_for(recipe, demo.pairs("train"), demo.features, run_dir, seed, demo.threads)
        train(replace(settings, progress=demo.progress))

    name, times = f"seed {seed}: interleaved encoder, training", demo.times(seed, OURS_LANE)
    return Stage(name, times, (run_dir / "model" / CONFIG).is_file, run, lambda: steps_done(run_dir) / steps)


def _ranked(demo: Demo, seed: int) -> Stage:
    path = demo.ranked(seed, "interleaved")

    def run(tell: Tell) -> None:
        pairs = demo.pairs(demo.split)
        model = encoder_as_ranked(demo.folder(seed) / "interleaved" / "model", pairs, demo.features, progress=demo.progress)
        rows = {task: ranking_rows(pairs, task) for task in pairs.sources}
        save_standings(path, rank_all(rows, model, tasks_of(OURS)))

    return Stage(f"seed {seed}: interleaved encoder, {demo.split} rankings", demo.times(seed, OURS_LANE), path.is_file, run)


def _dual(demo: Demo, seed: int) -> Stage:
    """Trained in both forms until it has taken as many operations as the interleaved encoder, which need not be trained for that."""

    def run(tell: Tell) -> None:
        settings = settings_for(demo.profile.recipe, demo.pairs("train"), demo.features, demo.folder(seed), seed, demo.threads)
        encoder = start_encoder(settings)
        images, held = (Images(demo.pairs(split), encoder) for split in ("train", demo.split))
        path = demo.folder(seed) / "dual.safetensors"
        torch.manual_seed(seed)
        model = dual_encoder(load(settings.tower))
        if not path.is_file():
            recipe = Recipe(flops=training_flops(settings), learning_rate=demo.profile.dual_lr, forms=FORMS)
            _fit(demo, seed, model, images, recipe, path, _NO_MIX, tell)
        _rank_control(demo, seed, model, held, path, {CUT: ("cut", "dual-cut"), TOLD: ("told", "dual-told"), DUAL: ("cut", "dual")})

    paths = [demo.ranked(seed, name) for name in ("dual-cut", "dual-told", "dual")]
    name, times = f"seed {seed}: dual encoder of equal compute, {demo.split}", demo.times(seed, CONTROLS_LANE)
    return Stage(name, times, lambda: all(map(Path.is_file, paths)), run)


def _small(demo: Demo, seed: int) -> Stage:
    """The two controls that do not read pixels."""

    def run(tell: Tell) -> None:
        settings = settings_for(demo.profile.recipe, demo.pairs("train"), demo.features, demo.folder(seed), seed, demo.threads)
        encoder = start_encoder(settings)
        images, held = (images_of(demo.pairs(s), encoder, demo.features, progress=demo.progress) for s in ("train", demo.split))
        world = demo.profile.world
        kinds = kinds_of(world.split("train")) | kinds_of(world.split(demo.split))
        halves: tuple[tuple[str, str, Tell], ...] = (
            ("mlp", MLP, lambda share: tell(share / 2)),
            ("box-type", BOX_TYPE, lambda share: tell((1 + share) / 2)),
        )
        for name, title, half in halves:
            path = demo.folder(seed) / f"{name}.safetensors"
            torch.manual_seed(seed)
            model = region_mlp(encoder.model.feature_width) if name == "mlp" else box_and_type(kinds)
            if not path.is_file():
                _fit(demo, seed, model, images, demo.profile.small, path, _REGIONS, half)
            _rank_control(demo, seed, model, held, path, {title: ("cut", name)})

    paths = [demo.ranked(seed, name) for name in ("mlp", "box-type")]
    name, times = f"seed {seed}: MLP, and box + type, {demo.split}", demo.times(seed, CONTROLS_LANE)
    return Stage(name, times, lambda: all(map(Path.is_file, paths)), run)


_STAGES = {OURS_LANE: (_interleaved, _ranked), CONTROLS_LANE: (_dual, _small)}
LANES = tuple(_STAGES)
"""Chains of stages of a seed that do not wait for each other."""


def _fit(demo: Demo, seed: int, model: PartsModel, images: Images, recipe: Recipe, path: Path, tasks: tuple[str, ...], tell: Tell) -> None:
    told = demo.profile.recipe
    weights = {task: TASKS[task] for task in tasks if task in images.pairs.sources}
    draw = drawer(images.pairs, weights, demo.profile.control_batch, seed, told["hard_negatives"])
    steps, loss = fit(model, images, draw, recipe, path.stem, progress=demo.progress, tell=tell)
    with atomic_path(path) as part:
        save_tensors(part, model.state_dict(), {"steps": str(steps), "loss": f"{loss:.4f}", "flops": f"{recipe.flops:g}"})


def _rank_control(demo: Demo, seed: int, model: PartsModel, images: Images, path: Path, forms: Mapping[str, tuple[Form, str]]) -> None:
    model.load_state_dict(read_weights(path))
    for title, (form, name) in forms.items():
        tasks = [task for task in tasks_of(title) if task in images.pairs.sources]
        rows = {task: ranking_rows(images.pairs, task) for task in tasks}
        save_standings(demo.ranked(seed, name), rank_all(rows, as_ranked(model, images, title, form), tasks))


def results_of(demo: Demo) -> Results:
    """All standings of the demo by ranking and model, one per seed."""
    files = {OURS: "interleaved", CUT: "dual-cut", TOLD: "dual-told", DUAL: "dual", MLP: "mlp", BOX_TYPE: "box-type"}
    found: dict[tuple[str, str], list[Standings]] = {}
    for seed in range(demo.profile.seeds):
        for title, name in files.items():
            for task, one in load_standings(demo.ranked(seed, name)).items():
                found.setdefault((task, title), []).append(one)
    return found


def do(todo: Sequence[Stage], console: Console, first: int = 1, of: int = 0) -> None:
    """Do the stages that are not done, one after the other.

    Args:
        todo: in order.
        console: told which.
        first: number of the first of them.
        of: how many there are; 0 for as many as are in `todo`.
    """
    for number, stage in enumerate(todo, first):
        title = f"{number}/{of or len(todo)} {stage.name}"
        if stage.done():
            console.print(f"{title}: done before")
        else:
            console.rule(f"[bold]{title}", align="left")
            do_one(stage, lambda share: None, time.time())


def do_one(stage: Stage, tell: Tell, began: float) -> None:
    """Do a stage and write down when; `began` is in seconds since 1970."""
    stage.run(tell)
    held = _spans(stage.times) | {stage.name: (began, time.time())}
    with atomic_path(stage.times) as part:
        part.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


def spans_of(stages: Sequence[Stage]) -> Spans:
    """When stages ran, now or before."""
    return {stage.name: held[stage.name] for stage in stages if stage.name in (held := _spans(stage.times))}


def wall_s(spans: Spans) -> float:
    """Seconds in which at least one of the stages ran."""
    total, until = 0.0, 0.0
    for began, ended in sorted(spans.values()):
        total += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return total


def _spans(path: Path) -> dict[str, tuple[float, float]]:
    held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {name: (float(began), float(ended)) for name, (began, ended) in held.items()}
