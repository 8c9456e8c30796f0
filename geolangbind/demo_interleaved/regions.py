"""Region rows: a box of an image asks for a phrase, a phrase for a box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from geolangbind.demo_interleaved.split import Split, box_of, image_of, ranking, row, some, text_keys
from geolangbind.instruct.row import RankingRow, Row
from geolangbind.instruct.segments_json import key_of
from geolangbind.interleaved.segments import Segment, Text
from geolangbind.planet.objects import SceneObject
from geolangbind.planet.regions import GROUPS, VISIBLE, WORDS, grammar, say
from geolangbind.planet.scene import Scene
from geolangbind.planet.staged import COLOURS

TURNS = ("landmark", "attribute", "extreme", "attribute", "landmark", "attribute", "size", "attribute")
"""Groups in the order asked: at any point half of the phrases or more are relational, and of these half or more name a landmark."""

TRAINED_TURNS = ("landmark", "attribute", "landmark", "extreme", "landmark", "attribute", "landmark", "size")
"""Groups in the order trained on: where a thing lies to others takes longest to learn."""

SENSORS = ("sar", "dem", "hsi")
_WHAT = Text("What is in")
_COLOURS = sorted({colour for colours in COLOURS.values() for colour in colours})


@dataclass(frozen=True, eq=False)
class Question:
    """A thing and a phrase that is true of it.

    Attributes:
        scene: the staged scene.
        thing: one of its objects.
        group: the phrase's group.
        phrase: true of the thing.
        others: the further phrases that are true or unclear of it.
        false_of: the other things that can be asked for and of which the phrase is false.
        held_of: those of which it is true or unclear.
    """

    scene: Scene
    thing: SceneObject
    group: str
    phrase: str
    others: frozenset[str]
    false_of: tuple[SceneObject, ...]
    held_of: tuple[SceneObject, ...]


@lru_cache(maxsize=32)
def phrases_in(modality: str, group: str) -> tuple[str, ...]:
    """Return a group's phrases that can be told in a modality: in RGB all, elsewhere no colours and no kinds that do not stand out."""
    if modality == "rgb":
        return grammar(group)
    hidden = [WORDS[kind] for kind in WORDS if kind not in VISIBLE[modality]]
    return tuple(phrase for phrase in grammar(group) if not any(f" {word}" in phrase for word in (*hidden, *_COLOURS)))


def said_in(scene: Scene, thing: SceneObject, modality: str) -> tuple[dict[str, list[str]], frozenset[str]]:
    """Return what can be asked of a thing in a modality, by group, and every phrase that is true or unclear of it.

    Where a sensor hides things, a phrase is asked for if it holds with and without them, and is wrong if it holds neither way.
    """
    said = say(scene, thing)
    true = {group: list(phrases) for group, phrases in said.true.items()}
    held = set(said.unclear).union(*true.values())
    if modality != "rgb":
        seen = replace(scene, objects=tuple(other for other in scene.objects if other.kind in VISIBLE[modality]))
        without = say(seen, thing)
        held |= set(without.unclear).union(*without.true.values())
        for group, phrases in true.items():
            allowed = set(phrases_in(modality, group)) & set(without.true[group])
            true[group] = [phrase for phrase in phrases if phrase in allowed]
    return true, frozenset(held)


def questions(
    split: Split, task: str, scenes: Sequence[int], per_scene: int, modality: str = "rgb", turns: Sequence[str] = TURNS
) -> Iterator[Question]:
    """Yield up to `per_scene` questions of each scene, the groups taking turns; none is asked twice of a scene.

    A group that has nothing left to ask of a scene is passed over there.
    """
    turn = 0
    for index in scenes:
        scene, rng = split.scene(index), split.rng(f"{task}-{modality}", index)
        things = [thing for thing in scene.objects if thing.kind in VISIBLE[modality]]
        said = [said_in(scene, thing, modality) for thing in things]
        used: set[tuple[int, str]] = set()
        while len(used) < per_scene:
            for later in range(len(turns)):
                group = turns[(turn + later) % len(turns)]
                able = [n for n, (true, _) in enumerate(said) if any((n, phrase) not in used for phrase in true[group])]
                if able:
                    turn += later + 1
                    break
            else:
                break
            number = able[int(rng.integers(len(able)))]
            true, held = said[number]
            left = [phrase for phrase in true[group] if (number, phrase) not in used]
            phrase = left[int(rng.integers(len(left)))]
            used.add((number, phrase))
            rest = [(thing, phrase in said[n][1]) for n, thing in enumerate(things) if n != number]
            false_of, held_of = (tuple(thing for thing, holds in rest if holds is wanted) for wanted in (False, True))
            yield Question(scene, things[number], group, phrase, held - {phrase}, false_of, held_of)


def region_query(question: Question, modality: str = "rgb") -> tuple[Segment, ...]:
    """Return image, words and box."""
    return (image_of(question.scene, modality), _WHAT, box_of(question.thing, modality))


def region_rows(split: Split, group: str, per_scene: int) -> Iterator[Row]:
    """Yield [image, box] -> phrase of a group in RGB. All phrases of a box share one query: a scene's boxes are asked in the same words."""
    for number, asked in enumerate(questions(split, "region", range(split.staged), per_scene, turns=(group,))):
        yield _row(split, asked, f"region-{group}-{number}", "rgb")


def sensor_rows(split: Split, group: str, per_scene: int) -> Iterator[Row]:
    """Yield [image, box] -> phrase of a group in SAR, DEM and HSI."""
    for modality in SENSORS:
        for number, asked in enumerate(questions(split, "sensors", range(split.sensors), per_scene, modality, (group,))):
            yield _row(split, asked, f"{modality}-{group}-{number}", modality)


def _row(split: Split, asked: Question, name: str, modality: str) -> Row:
    rng, true = split.rng(f"{modality}-wording", asked.scene.index), text_keys(asked.others)
    return row("region", name, rng, region_query(asked, modality), asked.phrase, true=true, group=asked.group)


def region_rankings(split: Split, count: int, candidates: int) -> dict[str, list[RankingRow]]:
    """Return `count` queries per group of phrases: the right phrase among wrong ones of its group."""
    found: dict[str, list[RankingRow]] = {group: [] for group in GROUPS}
    # Extremes and sizes come once in eight turns each, so eight questions of a scene are enough for each group to get its own.
    for number, asked in enumerate(questions(split, "region", range(split.staged), len(TURNS))):
        if all(len(rows) == count for rows in found.values()):
            break
        if len(rows := found[asked.group]) < count:
            rng = split.rng("region-candidates", number)
            wrong = _wrong(rng, asked, "rgb", candidates)
            rows.append(ranking("region", f"{asked.group}-{number}", rng, region_query(asked), [asked.phrase], wrong, asked.group))
    return {f"region_{group}": rows for group, rows in found.items()}


def sensor_rankings(split: Split, count: int, candidates: int) -> dict[str, list[RankingRow]]:
    """Return queries in SAR, DEM and HSI, and beside each the same asked of the RGB image of the scene."""
    found: dict[str, list[RankingRow]] = {}
    for modality in SENSORS:
        asked_of = questions(split, "sensors", range(split.sensors), len(TURNS) // 2, modality)
        for number, asked in zip(range(count), asked_of, strict=False):
            for shown, name in ((modality, modality), ("rgb", f"{modality}_asked_of_rgb")):
                rng = split.rng(f"{modality}-candidates", number)
                wrong = _wrong(rng, asked, modality, candidates)
                query = region_query(asked, shown)
                one = ranking("region", f"{modality}-{number}", rng, query, [asked.phrase], wrong, asked.group)
                found.setdefault(f"sensors_{name}", []).append(one)
    return found


def _wrong(rng: np.random.Generator, asked: Question, modality: str, candidates: int) -> list[str]:
    held = asked.others | {asked.phrase}
    return some(rng, [phrase for phrase in phrases_in(modality, asked.group) if phrase not in held], candidates - 1)


def referring_rows(split: Split, per_scene: int) -> Iterator[Row]:
    """Yield [image, phrase] -> [image, box]; the image's other boxes, where the phrase is false of them, are negatives."""
    for number, asked in enumerate(questions(split, "referring", range(split.staged), per_scene, turns=TRAINED_TURNS)):
        image, rng = image_of(asked.scene), split.rng("referring-wording", asked.scene.index)
        yield row(
            "referring",
            f"referring-{number}",
            rng,
            (image, Text(asked.phrase)),
            (image, box_of(asked.thing)),
            negatives=[(image, box_of(thing)) for thing in asked.false_of],
            true=[key_of((image, box_of(thing))) for thing in asked.held_of],
            group=asked.group,
        )


def referring_rankings(split: Split, count: int, candidates: int) -> dict[str, list[RankingRow]]:
    """Return queries with the boxes of the same image as candidates, and the same queries with boxes of other images added."""
    found: dict[str, list[RankingRow]] = {"referring_same_image": [], "referring_across_images": []}
    # A phrase that is true of every thing of its image asks for none of them.
    clear = (asked for asked in questions(split, "referring", range(split.staged), 2) if asked.false_of)
    for number, asked in zip(range(count), clear, strict=False):
        image, rng = image_of(asked.scene), split.rng("referring-candidates", number)
        right, near = (image, box_of(asked.thing)), [(image, box_of(thing)) for thing in asked.false_of]
        others = [split.scene(int(index)) for index in rng.permutation(split.staged)[:candidates] if index != asked.scene.index]
        far = [(image_of(scene), box_of(scene.objects[int(rng.integers(len(scene.objects)))])) for scene in others if scene.objects]
        for (name, rows), wrong in zip(found.items(), (near, (near + far)[: candidates - 1]), strict=True):
            query = (image, Text(asked.phrase))
            rows.append(ranking("referring", f"{name}-{number}", rng, query, [right], wrong, asked.group))
    return found
