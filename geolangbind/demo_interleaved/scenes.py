"""Rows about whole ordinary scenes: the class, and a caption.

In RGB ten classes come in pairs that no method can tell apart (`planet.groups`): either name is right for both. A caption is known by
what it says, not by its words: two of the same class that name the same season mean the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from geolangbind.demo_interleaved.split import Split, image_of, ranking, row, some, text_keys
from geolangbind.instruct.row import RankingRow, Row
from geolangbind.planet.groups import CLASSES, GROUPS, group_of
from geolangbind.planet.language import PATTERNS, Sentence, all_slots, class_phrases, said_by, sentences
from geolangbind.planet.scene import Scene

_GRADUAL = ("climate", "where")
"""Slots of which several hold nearly or fully at one place: they never make a caption wrong."""

_BORDER_M = 25.0
_CAPTIONS = 5  # as many as a sample holds


def _alike(scene_class: str) -> tuple[str, ...]:
    return GROUPS["rgb"][group_of("rgb", scene_class)]


def class_rows(split: Split) -> Iterator[Row]:
    """Yield [image] -> one of the class's names."""
    for number in range(split.ordinary):
        scene, rng = split.ordinary_scene(number), split.rng("class", number)
        names = class_phrases(scene.scene_class)
        target = names[int(rng.integers(len(names)))]
        true = text_keys(phrase for name in _alike(scene.scene_class) for phrase in class_phrases(name) if phrase != target)
        yield row("scene_class", f"class-{number}", rng, (image_of(scene),), target, true=true, group=scene.scene_class)


def class_rankings(split: Split, count: int) -> dict[str, list[RankingRow]]:
    """Return queries among the plainest names of all classes."""
    found = []
    for number in range(min(count, split.ordinary)):
        scene, rng = split.ordinary_scene(number), split.rng("class-candidates", number)
        alike = _alike(scene.scene_class)
        right = [class_phrases(name)[0] for name in alike]
        wrong = [class_phrases(name)[0] for name in CLASSES if name not in alike]
        found.append(ranking("scene_class", f"class-{number}", rng, (image_of(scene),), right, wrong, scene.scene_class))
    return {"scene_class": found} if found else {}


def _meaning(scene_class: str, says: Mapping[str, str]) -> str:
    said = [f"{name} {value}" for name, value in sorted(says.items()) if name not in _GRADUAL]
    return "; ".join(["/".join(_alike(scene_class)), *said])


def meaning(scene: Scene, sentence: Sentence) -> str:
    """Return what a sentence about a scene says, whatever its words: class and exact slots."""
    return _meaning(scene.scene_class, sentence.says)


def meanings(scene: Scene) -> frozenset[str]:
    """Return the meanings of every sentence that is true, or not clearly wrong, of a scene."""
    found: set[str] = set()
    used = {said_by(pattern) - set(_GRADUAL) for pattern in PATTERNS}
    for slots in all_slots(scene, "rgb"):
        for variant in _variants(scene, slots):
            found |= {_meaning(scene.scene_class, {name: variant[name] for name in names}) for names in used if names <= variant.keys()}
    return frozenset(found)


def _variants(scene: Scene, slots: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the slots, and with each neighbouring degree of latitude and, for a thing near a middle line, each corner it is nearly in."""
    degrees = [round(scene.place.lat) + step for step in (-1, 0, 1)]
    yield from ({**slots, "latitude": f"{abs(degree)} {side}"} for degree in degrees for side in _sides(degree))
    if "corner" in slots:
        for thing in scene.objects:
            x, y = thing.center_m
            corners = {
                f"{'north' if y + dy < 320 else 'south'}-{'west' if x + dx < 320 else 'east'}"
                for dx in (-_BORDER_M, _BORDER_M)
                for dy in (-_BORDER_M, _BORDER_M)
            }
            if slots["corner"] in corners:
                yield from ({**slots, "corner": corner} for corner in sorted(corners))


def _sides(degree: int) -> tuple[str, ...]:
    return ("north",) if degree > 0 else ("south",) if degree < 0 else ("north", "south")


def caption_rows(split: Split) -> Iterator[Row]:
    """Yield [image] -> one of the captions that the image's sample holds; rows are told apart by what their captions mean."""
    for number in range(split.ordinary):
        scene, rng = split.ordinary_scene(number), split.rng("caption", number)
        said = sentences(scene, "rgb", _CAPTIONS)
        chosen = said[int(rng.integers(len(said)))]
        key = meaning(scene, chosen)
        true = meanings(scene) - {key}
        yield row("caption", f"caption-{number}", rng, (image_of(scene),), chosen.text, true=true, target_key=key)


def caption_rankings(split: Split, count: int, candidates: int) -> dict[str, list[RankingRow]]:
    """Return queries with the first captions of other held-out scenes, where they are wrong of the query's scene."""
    scenes = [split.ordinary_scene(number) for number in range(split.ordinary)]
    pool = [(one.text, meaning(scene, one)) for scene in scenes for one in sentences(scene, "rgb", 1)]
    found = []
    for number, scene in enumerate(scenes[:count]):
        held, rng = meanings(scene), split.rng("caption-candidates", number)
        texts = sorted({text for text, key in pool if key not in held})
        wrong = some(rng, texts, candidates - 1)
        found.append(ranking("caption", f"caption-{number}", rng, (image_of(scene),), [pool[number][0]], wrong))
    return {"caption": found} if found else {}
