"""What can be said of one thing of a staged scene: every phrase of a small grammar is true, false or unclear of it.

Four groups: `attribute` (size, shape, colour, kind), and the relational ones: `extreme` (the northernmost tank), `size` (the largest pond)
and `landmark` (a tank north of a grove; the lot nearest to the road). A phrase is unclear where a small change of the scene would turn it;
such phrases are neither asked for nor counted as wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from geolangbind.planet.objects import SceneObject
from geolangbind.planet.scene import Scene
from geolangbind.planet.shapes import line_to
from geolangbind.planet.staged import COLOURS, KINDS

GROUPS = ("attribute", "extreme", "size", "landmark")
"""Groups of phrases; all but the first are relational."""

WORDS: Mapping[str, str] = {
    "warehouse": "warehouse",
    "tank": "storage tank",
    "pond": "pond",
    "array": "solar array",
    "pit": "gravel pit",
    "grove": "grove",
    "lot": "parking lot",
}
"""How kinds are called in phrases."""

VISIBLE: Mapping[str, tuple[str, ...]] = {
    "rgb": tuple(KINDS),
    "hsi": tuple(KINDS),
    "msi": tuple(KINDS),
    "sar": ("warehouse", "tank", "pond", "grove"),
    "dem": ("warehouse", "tank", "pit", "grove"),
}
"""Kinds that stand out in a modality: by brightness and texture in SAR, by height in an elevation model."""

_LINES = {"highway": "road", "river": "river"}
_COMPASS = {"north": (0, -1), "south": (0, 1), "east": (1, 0), "west": (-1, 0)}
_NEAR_M, _TOO_FAR_M = 230.0, 280.0  # between them, "north of" is unclear
_CLEAR_M = 25.0  # a lead of so many metres makes an extreme or a nearest one clear
_CLEAR_AREA = 1.2
_ELONGATED, _COMPACT = 0.6, 0.75


@dataclass(frozen=True)
class Said:
    """What is true of a thing, by group, and what is unclear of it."""

    true: Mapping[str, tuple[str, ...]]
    unclear: frozenset[str]


@lru_cache(maxsize=4)
def grammar(group: str) -> tuple[str, ...]:
    """Return every phrase of a group, in a fixed order.

    Raises:
        KeyError: unknown group.
    """
    words = list(WORDS.values())
    match group:
        case "attribute":
            looks = [(kind, colour) for kind in KINDS for colour in COLOURS.get(kind, ("",))]
            shapes = ("compact", "elongated")
            return tuple(
                _phrase(size, shape, colour, WORDS[kind])
                for size, shape, (kind, colour) in product(("small", "medium", "large"), shapes, looks)
                if kind != "tank" or shape == "compact"
            )
        case "extreme":
            ranks = ("", "second ")
            return tuple(f"the {rank}{side}ernmost {word}" for rank, side, word in product(ranks, _COMPASS, [*words, "object"]))
        case "size":
            ranks = ("largest", "second largest", "smallest", "second smallest")
            return tuple(f"the {rank} {word}" for rank, word in product(ranks, [*words, "object"]))
        case "landmark":
            sides = tuple(f"a {a} {side} of a {b}" for a, side, b in product(words, _COMPASS, words))
            nearest = tuple(f"the {a} nearest to the {b}" for a, b in product(words, _LINES.values()))
            return (*sides, *nearest, *(f"a {a} whose nearest neighbour is a {b}" for a, b in product(words, words)))
    raise KeyError(group)


def look(thing: SceneObject) -> str:
    """Return kind and, where it has one, colour of a thing: "red warehouse"."""
    return f"{thing.colour} {WORDS[thing.kind]}" if thing.kind in COLOURS else WORDS[thing.kind]


def describe(thing: SceneObject) -> str:
    """Return what a thing is by itself, its shape only where that is clear."""
    clear = [phrase for phrase, clear in _attributes(thing) if clear]
    return clear[0] if clear else f"a {thing.size} {look(thing)}"


def say(scene: Scene, thing: SceneObject) -> Said:
    """Return what is true and what is unclear of `thing`, one of the scene's objects."""
    found: dict[str, list[str]] = {group: [] for group in GROUPS}
    unclear: set[str] = set()
    for group, phrase, clear in _statements(scene, thing):
        if clear:
            found[group].append(phrase)
        else:
            unclear.add(phrase)
    return Said({group: tuple(phrases) for group, phrases in found.items()}, frozenset(unclear))


def _statements(scene: Scene, thing: SceneObject) -> Iterator[tuple[str, str, bool]]:
    yield from (("attribute", phrase, clear) for phrase, clear in _attributes(thing))
    same = [other for other in scene.objects if other.kind == thing.kind]
    for others, word in ((same, WORDS[thing.kind]), (list(scene.objects), "object")):
        if len(others) < 2:
            continue
        for side, (x, y) in _COMPASS.items():
            along = {id(other): other.center_m[0] * x + other.center_m[1] * y for other in others}
            yield from (("extreme", f"the {rank}{side}ernmost {word}", clear) for rank, clear in _ranked(along, thing, _CLEAR_M))
        area = {id(other): math.log(other.length_m * other.width_m) for other in others}
        for sign, name in ((1, "largest"), (-1, "smallest")):
            signed = {key: sign * value for key, value in area.items()}
            yield from (("size", f"the {rank}{name} {word}", clear) for rank, clear in _ranked(signed, thing, math.log(_CLEAR_AREA)))
    yield from (("landmark", phrase, clear) for phrase, clear in _neighbours(scene, thing))
    line = _LINES.get(scene.spec.layout)
    if line and len(same) > 1:
        near = {id(other): -abs(line_to(scene, *other.center_m)) for other in same}
        first = [clear for rank, clear in _ranked(near, thing, _CLEAR_M) if not rank]
        yield from (("landmark", f"the {WORDS[thing.kind]} nearest to the {line}", clear) for clear in first)


def _attributes(thing: SceneObject) -> Iterator[tuple[str, bool]]:
    slimness = thing.width_m / thing.length_m
    shapes = [("elongated", slimness < _ELONGATED), ("compact", slimness > _COMPACT)]
    between = not any(clear for _, clear in shapes)
    colour = thing.colour if thing.kind in COLOURS else ""
    for shape, clear in shapes:
        if clear or between:
            yield _phrase(thing.size, shape, colour, WORDS[thing.kind]), clear


def _phrase(size: str, shape: str, colour: str, word: str) -> str:
    return " ".join(part for part in ("a", size, shape, colour, word) if part)


def _ranked(values: Mapping[int, float], thing: SceneObject, lead: float) -> Iterator[tuple[str, bool]]:
    """Yield "" or "second " where `thing` is first or second by value, or nearly so, and whether it clearly is."""
    own = values[id(thing)]
    rest = sorted((value for key, value in values.items() if key != id(thing)), reverse=True)
    for place, rank in enumerate(("", "second ")):
        if place > len(rest):
            return
        above = rest[place - 1] - own if place else math.inf
        below = own - rest[place] if place < len(rest) else math.inf
        least = min(above, below)
        if least > -lead:
            yield rank, least > lead


def _neighbours(scene: Scene, thing: SceneObject) -> Iterator[tuple[str, bool]]:
    """Yield how `thing` lies to the others: clear if so for any of a kind, unclear if nearly so for some and clearly for none."""
    states: dict[str, bool] = {}
    others = [other for other in scene.objects if other is not thing]
    for other in others:
        dx, dy = thing.center_m[0] - other.center_m[0], thing.center_m[1] - other.center_m[1]
        distance = math.hypot(dx, dy)
        for side, (x, y) in _COMPASS.items():
            ahead, aside = dx * x + dy * y, abs(dx * y) + abs(dy * x)
            if distance > _TOO_FAR_M or ahead < 0.8 * aside:
                continue
            phrase = f"a {WORDS[thing.kind]} {side} of a {WORDS[other.kind]}"
            states[phrase] = states.get(phrase, False) or (distance < _NEAR_M and ahead > 1.3 * aside)
    distances = sorted((math.dist(thing.center_m, other.center_m), WORDS[other.kind]) for other in others)
    for distance, word in distances:
        if distance - distances[0][0] < _CLEAR_M:
            apart = [far for far, name in distances if name != word]
            phrase = f"a {WORDS[thing.kind]} whose nearest neighbour is a {word}"
            states[phrase] = states.get(phrase, False) or not apart or apart[0] - distance > _CLEAR_M
    yield from states.items()
