"""The demo's data, all of it synthetic: per split shards of staged and ordinary scenes, rows to train on and rows to rank."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geolangbind.data.index import INDEX_NAME
from geolangbind.demo_interleaved import places, regions, scenes, two_images
from geolangbind.demo_interleaved.split import LATER, ORDINARY_SEED, Split
from geolangbind.errors import SettingsError
from geolangbind.instruct.row import AnyRow, RankingRow, Row
from geolangbind.instruct.rows import PAIRS_NAME, Pairs, write_pairs
from geolangbind.planet.changes import draw_later
from geolangbind.planet.groups import PLANET_VERSION
from geolangbind.planet.regions import GROUPS
from geolangbind.planet.staged import draw_staged
from geolangbind.planet.write import SOURCE, write_planet

_WORTH_PROCESSES = 400  # fewer scenes are drawn before a second process has started
_PLACE_TO_IMAGE_EVERY = 4
SPLIT_NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class WorldSettings:
    """Sizes of the world.

    Attributes:
        seed: planet seed; another than the tower was trained on.
        staged: staged scenes to train on, in RGB.
        sensors: how many of them also in SAR, DEM and HSI.
        changed: how many of them also at a later date.
        ordinary: ordinary scenes to train on, in RGB.
        held_out: staged scenes of validation and of test each.
        held_out_sensors: how many of them also in SAR, DEM and HSI.
        held_out_changed: how many of them also at a later date.
        held_out_ordinary: ordinary scenes of validation and of test each.
        landmarks_per_scene: rows of a scene that name a landmark; half as many referring rows, a quarter as many of each other group.
        queries: queries of a ranking, at most.
        phrases: candidates of a region ranking, at most.
        boxes: candidates of the referring ranking across images, at most.
        places: candidates of a place ranking.
        captions: candidates of the caption ranking, at most.
        changes: candidates of the change ranking.
    """

    seed: int = 53
    staged: int = 6000
    sensors: int = 1500
    changed: int = 2000
    ordinary: int = 4800
    held_out: int = 1000
    held_out_sensors: int = 300
    held_out_changed: int = 500
    held_out_ordinary: int = 600
    landmarks_per_scene: int = 24
    queries: int = 500
    phrases: int = 100
    boxes: int = 50
    places: int = 50
    captions: int = 400
    changes: int = 100

    def __post_init__(self) -> None:
        for part, whole in (
            ("sensors", "staged"),
            ("changed", "staged"),
            ("held_out_sensors", "held_out"),
            ("held_out_changed", "held_out"),
        ):
            if getattr(self, part) > getattr(self, whole):
                raise SettingsError(f"{part} is {getattr(self, part)}, more than the {getattr(self, whole)} scenes of {whole}")

    def split(self, name: str) -> Split:
        """Return the scenes of train, validation or test."""
        if name == "train":
            return Split(name, self.seed, self.staged, self.sensors, self.changed, self.ordinary)
        return Split(name, self.seed, self.held_out, self.held_out_sensors, self.held_out_changed, self.held_out_ordinary)


def write_world(
    out: Path | str, settings: WorldSettings, splits: Sequence[str] = SPLIT_NAMES, workers: int = 2, progress: bool = True
) -> dict[str, Pairs]:
    """Write what is missing of some splits of the world below `out` and return their pairs folders.

    `out/<split>/<shards>` are the images (`staged`, `sensors`, `later`, `ordinary`), `out/<split>/pairs` the rows: to train on, or to rank.
    """
    found = {}
    for name in splits:
        split, folder = settings.split(name), Path(out) / name
        images = _write_images(folder, split, workers, progress)
        pairs = folder / "pairs"
        if not (pairs / PAIRS_NAME).is_file():
            sources: dict[str, Iterable[AnyRow]] = dict(rows(split, settings) if name == "train" else rankings(split, settings))
            about: dict[str, Any] = {"generator": SOURCE, "synthetic": True, "planet_version": PLANET_VERSION}
            about |= {"seed": settings.seed, "split": name}
            write_pairs(pairs, images, {source: (made, about) for source, made in sources.items()})
        found[name] = Pairs.open(pairs)
    return found


def _write_images(folder: Path, split: Split, workers: int, progress: bool) -> dict[str, Path]:
    """Write what is missing of a split's shards; return their folders by name."""
    wanted: dict[str, tuple[int, dict[str, Any]]] = {
        "staged": (split.staged, {"seed": split.seed, "modalities": ("rgb",), "draw": draw_staged}),
        "sensors": (split.sensors, {"seed": split.seed, "modalities": regions.SENSORS, "draw": draw_staged}),
        LATER: (split.changed, {"seed": split.seed, "modalities": ("rgb",), "draw": draw_later}),
        "ordinary": (split.ordinary, {"seed": split.seed + ORDINARY_SEED, "modalities": ("rgb",)}),
    }
    folders = {}
    for name, (count, options) in wanted.items():
        if count and not (folder / name / INDEX_NAME).is_file():
            processes = workers if count >= _WORTH_PROCESSES else 1
            size = max(12, min(480, -(-count // 12)))
            write_planet(folder / name, count, workers=processes, samples_per_shard=size, split=split.name, progress=progress, **options)
        if count:
            folders[name] = folder / name
    return folders


def rows(split: Split, settings: WorldSettings) -> dict[str, Iterator[Row]]:
    """Return the rows to train on, by source; sources without scenes are left out."""
    landmarks = settings.landmarks_per_scene
    per_scene = {group: landmarks if group == "landmark" else landmarks // 4 for group in GROUPS}
    found: dict[str, tuple[int, Iterator[Row]]] = {
        **{f"region_{group}": (split.staged, regions.region_rows(split, group, count)) for group, count in per_scene.items()},
        **{f"sensors_{group}": (split.sensors, regions.sensor_rows(split, group, count)) for group, count in per_scene.items()},
        "referring": (split.staged, regions.referring_rows(split, landmarks // 2)),
        "place": (split.staged + split.ordinary, places.place_rows(split)),
        "place_to_image": (split.staged, places.place_to_image_rows(split, _PLACE_TO_IMAGE_EVERY)),
        "scene_class": (split.ordinary, scenes.class_rows(split)),
        "caption": (split.ordinary, scenes.caption_rows(split)),
        "two_sensors": (split.sensors, two_images.two_sensor_rows(split)),
        "change": (split.changed, two_images.change_rows(split)),
    }
    return {name: made for name, (count, made) in found.items() if count}


def rankings(split: Split, settings: WorldSettings) -> dict[str, list[RankingRow]]:
    """Return the rows to rank, by source; sources without scenes are left out."""
    queries = settings.queries
    return {
        **regions.region_rankings(split, queries, settings.phrases),
        **regions.referring_rankings(split, queries, settings.boxes),
        **places.place_rankings(split, queries, settings.places),
        **scenes.class_rankings(split, queries),
        **scenes.caption_rankings(split, queries, settings.captions),
        **regions.sensor_rankings(split, queries, settings.phrases),
        **two_images.two_sensor_rankings(split, queries),
        **two_images.change_rankings(split, queries, settings.changes),
    }
