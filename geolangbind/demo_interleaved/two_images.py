"""Rows of two images in one query: two sensors of one place, and two dates of one place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from geolangbind.demo_interleaved.split import LATER, Split, box_of, image_of, ranking, row, some, text_keys
from geolangbind.instruct.row import RankingRow, Row
from geolangbind.interleaved.segments import Segment, Text
from geolangbind.planet.changes import CHANGES, Change, change_sentences, draw_change
from geolangbind.planet.objects import SceneObject
from geolangbind.planet.regions import look
from geolangbind.planet.scene import Scene
from geolangbind.planet.staged import COLOURS, TALL_M

SHOWN = {"both": ("rgb", "dem"), "rgb_alone": ("rgb",), "dem_alone": ("dem",)}
"""Images of the queries about height and colour: only both together show both."""

_WHAT = Text("What is in")


def tall_or_low(thing: SceneObject) -> str:
    """Return the phrase about a warehouse or tank: height, which only elevation shows, colour, which only RGB shows, and kind."""
    return f"a {'tall' if thing.height_m > TALL_M else 'low'} {look(thing)}"


def tall_or_low_phrases() -> list[str]:
    """Return all such phrases; exactly one is true of each warehouse and each tank."""
    looks = [f"{colour} {word}" for kind, word in (("warehouse", "warehouse"), ("tank", "storage tank")) for colour in COLOURS[kind]]
    return [f"a {height} {one}" for height in ("tall", "low") for one in looks]


def _asked(split: Split) -> Iterator[tuple[Scene, SceneObject]]:
    for scene in map(split.scene, range(split.sensors)):
        yield from ((scene, thing) for thing in scene.objects if thing.kind in COLOURS)


def _look_at(scene: Scene, thing: SceneObject, shown: str) -> tuple[Segment, ...]:
    """Images, words, and the thing's box in each image."""
    boxes = (replace(box_of(thing, modality), image=number) for number, modality in enumerate(SHOWN[shown]))
    return (*(image_of(scene, modality) for modality in SHOWN[shown]), _WHAT, *boxes)


def two_sensor_rows(split: Split) -> Iterator[Row]:
    """Yield [RGB, DEM, box in each] -> phrase for every warehouse and tank; and with one image alone, so that these are met too."""
    for number, (scene, thing) in enumerate(_asked(split)):
        for shown in ("both", ("rgb_alone", "dem_alone")[number % 2]):
            rng, query = split.rng(f"two-sensors-{shown}", number), _look_at(scene, thing, shown)
            yield row("two_sensors", f"{shown}-{number}", rng, query, tall_or_low(thing), group=shown)


def two_sensor_rankings(split: Split, count: int) -> dict[str, list[RankingRow]]:
    """Return queries with both images, and the same with RGB alone and DEM alone; all fourteen phrases are candidates."""
    found: dict[str, list[RankingRow]] = {}
    for number, (scene, thing) in zip(range(count), _asked(split), strict=False):
        right = tall_or_low(thing)
        wrong = [phrase for phrase in tall_or_low_phrases() if phrase != right]
        for shown in SHOWN:
            rng, query = split.rng("two-sensors-candidates", number), _look_at(scene, thing, shown)
            one = ranking("two_sensors", f"two-sensors-{number}", rng, query, [right], wrong, thing.kind)
            found.setdefault(f"two_sensors_{shown}", []).append(one)
    return found


def _dated(change: Change) -> tuple[Segment, ...]:
    return (image_of(change.before), image_of(change.after, shards=LATER))


def change_rows(split: Split) -> Iterator[Row]:
    """Yield [earlier image, later image] -> what was built, removed or swapped, and where."""
    for number in range(split.changed):
        change = draw_change(split.staged_seed, number)
        rng, true = split.rng("change", number), text_keys(change.others)
        yield row("change", f"change-{number}", rng, _dated(change), change.sentence, true=true, group=change.kind)


def change_rankings(split: Split, count: int, candidates: int) -> dict[str, list[RankingRow]]:
    """Return queries with candidates of which each kind of change makes a third."""
    found = []
    for number in range(min(count, split.changed)):
        change, rng = draw_change(split.staged_seed, number), split.rng("change-candidates", number)
        held = {change.sentence, *change.others}
        wrong: list[str] = []
        for place, kind in enumerate(CHANGES):
            share = (candidates - 1 - len(wrong)) // (len(CHANGES) - place)
            wrong += some(rng, [sentence for sentence in change_sentences(kind) if sentence not in held], share)
        found.append(ranking("change", f"change-{number}", rng, _dated(change), [change.sentence], wrong, change.kind))
    return {"change": found} if found else {}
