"""The demo's stages in order. Each leaves files; a stage whose files are there is not done again."""

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
from geolangbind.demo_interleaved.trained import images_of, settings_for, training_flops
from geolangbind.demo_interleaved.world import write_world
from geolangbind.errors import SettingsError
from geolangbind.instruct.images import Images
from geolangbind.instruct.ranking import Standings
from geolangbind.instruct.rows import Pairs
from geolangbind.instruct.run import start_encoder, train
from geolangbind.weights.load import load
from geolangbind.weights.read import read_weights

SPLITS = ("validation", "test")
_REGIONS = ("region", "referring")
_NO_MIX = (*_REGIONS, "place", "place_to_image", "scene_class", "caption")  # what a dual encoder is asked


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: shown.
        folder: where its files and its time lie.
        done: whether its files are there.
        run: does it.
    """

    name: str
    folder: Path
    done: Callable[[], bool]
    run: Callable[[], object]


@dataclass(frozen=True)
class Demo:
    """A demo on disk.

    Attributes:
        profile: its sizes.
        out: its folder.
        split: whose scenes are ranked.
        threads: of torch.
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


def stages(demo: Demo) -> list[Stage]:
    """All stages of a demo."""
    of_a_seed = (_interleaved, _ranked, _dual, _small)
    return [world_stage(demo), *(stage(demo, seed) for seed in range(demo.profile.seeds) for stage in of_a_seed)]


def world_stage(demo: Demo) -> Stage:
    """The data. A world of other sizes in the same folder is refused."""
    folder, settings, splits = demo.out / "world", demo.profile.world, ("train", demo.split)
    told = folder / "world.json"

    def done() -> bool:
        if not told.is_file():
            return False
        if json.loads(told.read_text(encoding="utf-8")) != asdict(settings):
            raise SettingsError(f"{folder} is a world of other sizes than profile {demo.profile.name}'s; give --out, or delete it")
        return all((folder / split / "pairs" / "pairs.json").is_file() for split in splits)

    def run() -> None:
        with atomic_path(told) as part:
            part.write_text(json.dumps(asdict(settings), indent=1) + "\n", encoding="utf-8")
        write_world(folder, settings, splits, workers=demo.threads, progress=demo.progress)

    return Stage("world: scenes, rows and rankings", folder, done, run)


def _interleaved(demo: Demo, seed: int) -> Stage:
    run_dir = demo.folder(seed) / "interleaved"

    def run() -> None:
        settings = settings_for(demo.profile.recipe, demo.pairs("train"), demo.features, run_dir, seed, demo.threads)
        train(replace(settings, progress=demo.progress))

    return Stage(f"seed {seed}: interleaved encoder, training", demo.folder(seed), lambda: (run_dir / "model" / CONFIG).is_file(), run)


def _ranked(demo: Demo, seed: int) -> Stage:
    path = demo.ranked(seed, "interleaved")

    def run() -> None:
        pairs = demo.pairs(demo.split)
        model = encoder_as_ranked(demo.folder(seed) / "interleaved" / "model", pairs, demo.features, progress=demo.progress)
        rows = {task: ranking_rows(pairs, task) for task in pairs.sources}
        save_standings(path, rank_all(rows, model, tasks_of(OURS)))

    return Stage(f"seed {seed}: interleaved encoder, {demo.split} rankings", path.parent, path.is_file, run)


def _dual(demo: Demo, seed: int) -> Stage:
    """Trained in both forms until it has taken as many operations as the interleaved encoder."""

    def run() -> None:
        settings = settings_for(demo.profile.recipe, demo.pairs("train"), demo.features, demo.folder(seed), seed, demo.threads)
        encoder = start_encoder(settings)
        images, held = (Images(demo.pairs(split), encoder) for split in ("train", demo.split))
        path = demo.folder(seed) / "dual.safetensors"
        torch.manual_seed(seed)
        model = dual_encoder(load(settings.tower))
        if not path.is_file():
            recipe = Recipe(flops=training_flops(settings), learning_rate=demo.profile.dual_lr, forms=FORMS)
            _fit(demo, seed, model, images, recipe, path, _NO_MIX)
        _rank_control(demo, seed, model, held, path, {CUT: ("cut", "dual-cut"), TOLD: ("told", "dual-told"), DUAL: ("cut", "dual")})

    paths = [demo.ranked(seed, name) for name in ("dual-cut", "dual-told", "dual")]
    return Stage(f"seed {seed}: dual encoder of equal compute, {demo.split}", paths[0].parent, lambda: all(map(Path.is_file, paths)), run)


def _small(demo: Demo, seed: int) -> Stage:
    """The two controls that do not read pixels."""

    def run() -> None:
        settings = settings_for(demo.profile.recipe, demo.pairs("train"), demo.features, demo.folder(seed), seed, demo.threads)
        encoder = start_encoder(settings)
        images, held = (images_of(demo.pairs(s), encoder, demo.features, progress=demo.progress) for s in ("train", demo.split))
        world = demo.profile.world
        kinds = kinds_of(world.split("train")) | kinds_of(world.split(demo.split))
        for name, title in (("mlp", MLP), ("box-type", BOX_TYPE)):
            path = demo.folder(seed) / f"{name}.safetensors"
            torch.manual_seed(seed)
            model = region_mlp(encoder.model.feature_width) if name == "mlp" else box_and_type(kinds)
            if not path.is_file():
                _fit(demo, seed, model, images, demo.profile.small, path, _REGIONS)
            _rank_control(demo, seed, model, held, path, {title: ("cut", name)})

    paths = [demo.ranked(seed, name) for name in ("mlp", "box-type")]
    return Stage(f"seed {seed}: MLP, and box + type, {demo.split}", paths[0].parent, lambda: all(map(Path.is_file, paths)), run)


def _fit(demo: Demo, seed: int, model: PartsModel, images: Images, recipe: Recipe, path: Path, tasks: tuple[str, ...]) -> None:
    told = demo.profile.recipe
    weights = {task: TASKS[task] for task in tasks if task in images.pairs.sources}
    draw = drawer(images.pairs, weights, demo.profile.control_batch, seed, told["hard_negatives"])
    steps, loss = fit(model, images, draw, recipe, path.stem, progress=demo.progress)
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


def do(todo: Sequence[Stage], console: Console) -> dict[str, float]:
    """Do the stages that are not done.

    Returns:
        Seconds that each of them took, now or before.
    """
    found = {}
    for number, stage in enumerate(todo, 1):
        path = stage.folder / "seconds.json"
        held: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if stage.done():
            console.print(f"{number}/{len(todo)} {stage.name}: done before")
        else:
            console.rule(f"[bold]{number}/{len(todo)} {stage.name}", align="left")
            began = time.perf_counter()
            stage.run()
            held[stage.name] = time.perf_counter() - began
            with atomic_path(path) as part:
                part.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
        found[stage.name] = held.get(stage.name, 0.0)
    return found
