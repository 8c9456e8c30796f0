"""One change between two dates of a staged scene: a thing built, removed or swapped, and the sentences that are true of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache

import numpy as np

from geolangbind.planet.noise import FOOTPRINT_M
from geolangbind.planet.objects import SceneObject
from geolangbind.planet.regions import WORDS, look
from geolangbind.planet.scene import Scene
from geolangbind.planet.staged import COLOURS, KINDS, draw_staged, draw_thing, fits

CHANGES = ("built", "removed", "swapped")

_VERBS = {"pond": "dug", "gravel pit": "dug", "grove": "planted"}  # all else is built
_CLEAR_M = 25.0  # nearer than this to the border between two ninths, either may be named
_ATTEMPTS = 40

_Place = tuple[float, float]


@dataclass(frozen=True)
class Change:
    """What happened between two dates.

    Attributes:
        before: the staged scene.
        after: the same place one to three years later, with its own noise, air and greenness.
        kind: one of `CHANGES`.
        sentence: says what happened and in which ninth of the scene.
        others: further sentences of the grammar that are true or unclear of it.
    """

    before: Scene
    after: Scene
    kind: str
    sentence: str
    others: frozenset[str]


def draw_change(seed: int, index: int) -> Change:
    """Return the change at staged scene `index` of planet `seed`: a pure function of its arguments.

    Raises:
        SettingsError: a negative seed or index.
    """
    before = draw_staged(seed, index)
    rng = before.rng("change")
    gone, new, where = _draw_things(rng, before)
    kept = tuple(thing for thing in before.objects if thing is not gone)
    vigour = float(np.clip(before.vigour + rng.normal(0, 0.08), 0.05, 1.0))
    after = replace(
        before,
        objects=kept if new is None else (*kept, new),
        date=before.date + timedelta(days=365 * int(rng.integers(1, 4))),
        vigour=round(vigour, 4),
        visit=1,
    )
    old_look, new_look = (look(gone) if gone else ""), (look(new) if new else "")
    kind = "swapped" if gone and new else "built" if new else "removed"
    wanted = [(old_look, new_look), (old_look, ""), ("", new_look)] if kind == "swapped" else [(old_look, new_look)]
    first, *rest = [_sentence(old, new, ninth) for old, new in wanted for ninth in _ninths(where)]
    return Change(before, after, kind, first, frozenset(rest))


def draw_later(seed: int, index: int) -> Scene:
    """Return the later date of `draw_change`."""
    return draw_change(seed, index).after


@cache
def change_sentences(kind: str) -> tuple[str, ...]:
    """Return every sentence of one kind of change, in a fixed order.

    Raises:
        KeyError: unknown kind.
    """
    looks = [f"{colour} {WORDS[thing]}".strip() for thing in KINDS for colour in COLOURS.get(thing, ("",))]
    pairs = {
        "built": [("", new) for new in looks],
        "removed": [(old, "") for old in looks],
        "swapped": [(old, new) for old in looks for new in looks if old != new],
    }[kind]
    ninths = [_named(row, column) for row in range(3) for column in range(3)]
    return tuple(_sentence(old, new, ninth) for old, new in pairs for ninth in ninths)


def _draw_things(rng: np.random.Generator, scene: Scene) -> tuple[SceneObject | None, SceneObject | None, _Place]:
    """Draw what goes, what comes and where; a swap or a new thing for which there is no room becomes a removal."""
    things = [thing for thing in scene.objects if len(_ninths(thing.center_m)) == 1] or list(scene.objects)
    kind = CHANGES[int(rng.integers(len(CHANGES)))]
    old = things[int(rng.integers(len(things)))]
    for _attempt in range(0 if kind == "removed" else _ATTEMPTS):
        new = draw_thing(rng, scene)
        if kind == "swapped":
            new = replace(new, center_m=old.center_m)
            if look(new) != look(old) and fits(new, scene, [thing for thing in scene.objects if thing is not old]):
                return old, new, new.center_m
        elif len(_ninths(new.center_m)) == 1 and fits(new, scene, scene.objects):
            return None, new, new.center_m
    return old, None, old.center_m


def _ninths(where: _Place) -> list[str]:
    """Return the names of the scene's ninth that holds a place, and then of those nearly holding it."""
    places = [[_third(metres)] for metres in where]
    for axis, metres in zip(places, where, strict=True):
        axis += sorted({_third(metres - _CLEAR_M), _third(metres + _CLEAR_M)} - set(axis))
    return [_named(row, column) for row in places[1] for column in places[0]]


def _third(metres: float) -> int:
    return min(max(int(3 * metres / FOOTPRINT_M), 0), 2)


def _named(row: int, column: int) -> str:
    return "-".join(filter(None, (("north", "", "south")[row], ("west", "", "east")[column]))) or "middle"


def _sentence(old: str, new: str, ninth: str) -> str:
    """Return the sentence for the looks of what went and what came, "" for nothing."""
    if old and new:
        return f"a {old} gave way to a {new} in the {ninth}"
    happened = _VERBS.get(new, "built") if new else "removed"
    return f"a {new or old} was {happened} in the {ninth}"
