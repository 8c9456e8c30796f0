"""The scenes of one split and where their images lie: rows are made of the records alone, no pixel is read."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from geolangbind.demo_interleaved.wordings import TARGETS, WORDINGS
from geolangbind.instruct.row import RankingRow, Row
from geolangbind.instruct.segments_json import StoredImage, canonical
from geolangbind.interleaved.segments import Image, PixelBox, Segment, Text
from geolangbind.planet.objects import SceneObject
from geolangbind.planet.products import PRODUCTS, pixel_box
from geolangbind.planet.scene import Scene, draw_scene
from geolangbind.planet.staged import draw_staged
from geolangbind.planet.write import SPLITS

ORDINARY_SEED = 500
"""Added to the planet seed for ordinary scenes: a staged and an ordinary scene of one number would share their random draws."""

LATER = "later"
"""Folder of the shards that show changed scenes at their later date, under the keys of the earlier ones."""

Segments = tuple[Segment, ...]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Split:
    """One split of the world.

    Attributes:
        name: train, validation or test.
        seed: planet seed.
        staged: how many staged scenes, in RGB.
        sensors: how many of them, the first, also in SAR, DEM and HSI.
        changed: how many of them, the first, also at a later date.
        ordinary: how many ordinary scenes, in RGB.
    """

    name: str
    seed: int
    staged: int
    sensors: int
    changed: int
    ordinary: int

    @property
    def staged_seed(self) -> int:
        """Scene seed of the staged scenes."""
        return len(SPLITS) * self.seed + SPLITS[self.name]

    @property
    def ordinary_seed(self) -> int:
        """Scene seed of the ordinary scenes."""
        return len(SPLITS) * (self.seed + ORDINARY_SEED) + SPLITS[self.name]

    def scene(self, index: int) -> Scene:
        """Return a staged scene; the same object each time, as long as it is remembered."""
        return _staged(self.staged_seed, index)

    def ordinary_scene(self, index: int) -> Scene:
        """Return an ordinary scene."""
        return draw_scene(self.ordinary_seed, index)

    def rng(self, task: str, number: int) -> np.random.Generator:
        """Return the generator of one draw of one task."""
        return np.random.Generator(
            np.random.Philox(key=np.array([self.staged_seed, (zlib.crc32(task.encode()) << 32) + number], np.uint64))
        )


@lru_cache(maxsize=16384)
def _staged(seed: int, index: int) -> Scene:
    return draw_staged(seed, index)


def image_of(scene: Scene, modality: str = "rgb", shards: str | None = None) -> Image:
    """Return the image of a scene: by default among the staged or the ordinary ones, as the scene and the modality say."""
    if shards is None:
        shards = "ordinary" if not scene.staged else "staged" if modality == "rgb" else "sensors"
    return Image(StoredImage(shards, f"{modality}-{scene.seed}-{scene.index:07d}"))


def box_of(thing: SceneObject, modality: str = "rgb") -> PixelBox:
    """Return where a thing lies in the image of its scene."""
    return PixelBox(*pixel_box(thing.box_m, PRODUCTS[modality][0]))


@lru_cache(maxsize=1 << 16)
def text_key(words: str) -> str:
    """Return the key of a target that is one text."""
    return canonical([words])


def text_keys(phrases: Iterable[str]) -> frozenset[str]:
    """Return the keys of such targets."""
    return frozenset(map(text_key, phrases))


def row(
    task: str,
    id_: str,
    rng: np.random.Generator,
    query: Sequence[Segment],
    target: Segments | str,
    *,
    true: Iterable[str] = (),
    negatives: Iterable[Segments] = (),
    target_key: str = "",
    group: str = "",
) -> Row:
    """Return a row to train on in one of the task's wordings."""
    wordings = WORDINGS[task]
    return Row(
        id_,
        wordings[int(rng.integers(len(wordings)))],
        tuple(query),
        (Text(target),) if isinstance(target, str) else target,
        TARGETS.get(task, ""),
        tuple(negatives),
        target_key,
        frozenset(true),
        group or task,
    )


def ranking(
    task: str,
    id_: str,
    rng: np.random.Generator,
    query: Sequence[Segment],
    right: Sequence[Segments | str],
    wrong: Sequence[Segments | str],
    group: str = "",
) -> RankingRow:
    """Return a row to rank in the task's first wording, its candidates in an order drawn from `rng`."""
    order = rng.permutation(len(right) + len(wrong))
    pool = [*right, *wrong]
    candidates = tuple((Text(found),) if isinstance(found := pool[place], str) else found for place in order)
    relevant = tuple(int(place) for place in np.flatnonzero(order < len(right)))
    return RankingRow(id_, WORDINGS[task][0], tuple(query), candidates, relevant, TARGETS.get(task, ""), group or task)


def some(rng: np.random.Generator, pool: Sequence[_T], count: int) -> list[_T]:
    """Draw up to `count` different members of `pool`."""
    return [pool[int(place)] for place in rng.permutation(len(pool))[:count]]
