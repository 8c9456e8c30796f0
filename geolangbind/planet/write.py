"""From scenes to samples and shards."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

from geolangbind.data.index import Index, ShardRecord
from geolangbind.data.sample import Box, Sample, SampleMeta
from geolangbind.data.write import write_index, write_shard
from geolangbind.errors import SettingsError
from geolangbind.planet.groups import CLASSES, MODALITIES, PLANET_VERSION
from geolangbind.planet.language import captions, class_phrases
from geolangbind.planet.noise import Map
from geolangbind.planet.products import PRODUCTS, Product, pixel_box, product_of
from geolangbind.planet.regions import describe
from geolangbind.planet.render import render, render_mask
from geolangbind.planet.scene import Scene, draw_scene
from geolangbind.sensors import get_sensor

SOURCE = f"geolangbind planet v{PLANET_VERSION} (synthetic)"
LICENCE = "Apache-2.0"
SPLITS: Mapping[str, int] = {"train": 0, "validation": 1, "test": 2}
"""Each split counts its own seeds: the seed of a sample is 3 * seed + this, so splits never share a scene."""
_CAPTIONS = 5


@dataclass(frozen=True)
class _Task:
    """One scene range of one shard number, for one process: all modalities of the scenes, so that maps are drawn once."""

    folder: Path
    number: int
    seed: int
    start: int
    stop: int
    modalities: tuple[str, ...]
    products: tuple[Product, ...] = ()
    draw: Callable[[int, int], Scene] = draw_scene


def quantise(image: Map, product: Product) -> NDArray[Any]:
    """Return physical values as the product stores them, rounded and held inside the type's range."""
    limits = np.iinfo(product.dtype)
    stored = np.clip(np.rint((image - product.offset) / product.scale), limits.min, limits.max)
    return np.asarray(stored.astype(product.dtype))


def sample_of(scene: Scene, product: Product) -> Sample:
    """Return the chip that `product` makes of `scene`, with captions, labels and land-cover mask."""
    sensor = get_sensor(product.sensor)
    bands = sensor.select(bands=list(product.bands)) if product.bands else sensor.good_bands
    drawn = [replace(band, gsd_m=None) for band in bands] if product.sharp else bands
    image = render(scene, sensor, drawn, product.unit, product.pixels, product.gsd_m)
    meta = SampleMeta(
        sensor=product.sensor,
        bands=tuple(band.name for band in bands),
        unit=product.unit,
        gsd_m=product.gsd_m,
        captions=tuple(captions(scene, product.modality, _CAPTIONS)),
        scale=product.scale,
        offset=product.offset,
        bbox_wgs84=scene.bbox_wgs84(),
        datetime=scene.date.isoformat(),
        labels={"scene_class": scene.scene_class, "season": scene.season, "scene_index": scene.index},
        # The scenes whose things are put onto the ground show each of them; elsewhere some sensors hide some.
        boxes=tuple(Box(pixel_box(thing.box_m, product), describe(thing)) for thing in scene.objects) if scene.staged else (),
        source=SOURCE,
        licence=LICENCE,
    )
    key = f"{product.modality}-{scene.seed}-{scene.index:07d}"
    return Sample(key, quantise(image, product), meta, render_mask(scene, product.pixels, product.gsd_m), product.encoding)


def make_sample(seed: int, index: int, product: Product) -> Sample:
    """Return scene `index` of planet `seed` as `product` shows it: a pure function of its arguments.

    Raises:
        SettingsError: seed or index is negative.
    """
    return sample_of(draw_scene(seed, index), product)


def _write_range(task: _Task) -> list[ShardRecord]:
    """Draw a range of scenes and write one shard per product; runs in a worker process."""
    found: dict[str, list[Sample]] = {}
    # One thread, in one process as in many: processes of several threads wait for one another, and sums would round differently.
    with threadpool_limits(1):
        for index in range(task.start, task.stop):
            scene = task.draw(task.seed, index)
            drawn = task.products or [product_of(task.seed, index, modality) for modality in task.modalities]
            for product in drawn:
                found.setdefault(product.name, []).append(sample_of(scene, product))
    return [write_shard(task.folder / f"{name}-{task.number:06d}.tar", samples) for name, samples in found.items()]


def write_planet(
    out: Path | str,
    count: int,
    seed: int = 0,
    modalities: Sequence[str] = MODALITIES,
    workers: int = 2,
    samples_per_shard: int = 480,
    split: str = "train",
    progress: bool = True,
    products: Sequence[Product] = (),
    draw: Callable[[int, int], Scene] = draw_scene,
) -> Index:
    """Write `count` scenes in every modality as shards with an index.

    Args:
        out: folder to write into; it must not hold an index yet.
        count: number of scenes; each gives one chip per modality.
        seed: seed of the planet.
        modalities: which of `groups.MODALITIES`.
        workers: processes.
        samples_per_shard: scenes per shard; a modality with two products spreads them over two tars.
        split: "train", "validation" or "test"; splits share no scene.
        progress: show a progress bar.
        products: draw every scene in each of these, in place of one product per modality.
        draw: makes a scene of a seed and an index, by default an ordinary one; a function of a module, so that processes can share it.

    Returns:
        The index. The same arguments give the same samples, whatever the number of workers.

    Raises:
        SettingsError: an impossible count, worker number, modality or split.
        DataError: `out` has an index already.
    """
    _check(count, seed, modalities, workers, samples_per_shard, split)
    out = Path(out)
    scene_seed = len(SPLITS) * seed + SPLITS[split]
    tasks = [
        _Task(out, number, scene_seed, start, min(start + samples_per_shard, count), tuple(modalities), tuple(products), draw)
        for number, start in enumerate(range(0, count, samples_per_shard))
    ]
    columns = (TextColumn("drawing the planet"), BarColumn(), MofNCompleteColumn(), TextColumn("scenes"), TimeRemainingColumn())
    records: list[ShardRecord] = []
    with Progress(*columns, disable=not progress) as bar:
        shown = bar.add_task("", total=count)
        for task, written in _results(tasks, min(workers, len(tasks))):
            records += written
            bar.advance(shown, task.stop - task.start)
    provenance = {
        "generator": SOURCE,
        "synthetic": True,
        "planet_version": PLANET_VERSION,
        "seed": seed,
        "split": split,
        "count": count,
        "scenes": draw.__name__.removeprefix("draw_"),
        "classes": {"scene_class": {name: list(class_phrases(name)) for name in CLASSES}},
    }
    return write_index(out, sorted(records, key=lambda record: record.file), provenance)


def _check(count: int, seed: int, modalities: Sequence[str], workers: int, samples_per_shard: int, split: str) -> None:
    """Refuse settings that cannot be meant.

    Raises:
        SettingsError: which one, and what is possible.
    """
    wrong = sorted(set(modalities) - set(PRODUCTS))
    if wrong or not modalities:
        raise SettingsError(f"unknown modalities {wrong}; the planet draws {', '.join(PRODUCTS)}")
    if split not in SPLITS:
        raise SettingsError(f"unknown split '{split}'; splits are {', '.join(SPLITS)}")
    if count < 1 or workers < 1 or samples_per_shard < 1 or seed < 0:
        raise SettingsError(
            f"count, workers and samples_per_shard must be >= 1 and seed >= 0, got {count}, {workers}, {samples_per_shard}, {seed}"
        )


def _results(tasks: Sequence[_Task], workers: int) -> Iterator[tuple[_Task, list[ShardRecord]]]:
    """Yield each task with its records, as they come."""
    if workers == 1:
        yield from ((task, _write_range(task)) for task in tasks)
        return
    # Spawned, not forked: torch's threads in the parent do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(_write_range, task): task for task in tasks}
        for done in as_completed(running):
            yield running[done], done.result()
