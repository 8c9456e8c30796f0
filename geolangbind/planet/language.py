"""Sentences about a scene: templates with slots, filled from the record alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from geolangbind.planet.objects import SceneObject
from geolangbind.planet.scene import Scene

LANGUAGE_VERSION = "1"

_PHRASES: Mapping[str, tuple[str, ...]] = {
    "annual_crop": ("annual crop", "crop fields", "arable land", "farmland with field crops"),
    "forest": ("forest", "dense forest", "woodland", "closed tree canopy"),
    "herbaceous_vegetation": ("herbaceous vegetation", "natural grassland and shrubs", "rough grassland", "heathland"),
    "highway": ("highway", "highway or road", "motorway", "main road"),
    "industrial": ("industrial area", "industrial buildings", "factories and warehouses", "industrial site"),
    "pasture": ("pasture", "grazing land", "green meadows", "pasture land"),
    "permanent_crop": ("permanent crop", "orchards and vineyards", "fruit trees and vines", "plantation rows"),
    "residential": ("residential area", "residential buildings", "houses and streets", "housing"),
    "river": ("river", "wide river", "stream of water", "river bend"),
    "sea_lake": ("sea or lake", "open water", "sea", "lake"),
    "desert": ("desert", "sand dunes", "sandy desert"),
    "beach": ("beach", "sandy shore", "sandy coast"),
    "wetland": ("wetland", "marsh", "swampy reeds"),
    "snow": ("snow", "glacier", "snow and ice"),
    "bare_rock": ("bare rock", "rocky mountains", "rocky terrain"),
    "harbour": ("harbour", "harbor", "port with ships", "port"),
    "airport": ("airport", "airfield with a runway", "runway"),
    "solar_farm": ("solar farm", "solar panels", "photovoltaic plant"),
    "flooded_forest": ("flooded forest", "forest standing in water", "inundated woodland"),
    "stressed_crops": ("stressed crops", "unhealthy crop fields", "withering crops"),
    "hot_industry": ("hot industry", "furnaces and steelworks", "industrial site with hot furnaces"),
    "mineral_terrain": ("mineral terrain", "clay-bearing rock", "kaolinite deposits"),
    "gorge": ("gorge", "deep canyon", "steep ravine"),
    "plain": ("plain", "flat plain", "level steppe"),
}

MODALITY_PHRASES: Mapping[str, tuple[str, ...]] = {
    "rgb": ("satellite image", "satellite photo", "true colour picture", "aerial view"),
    "sar": ("SAR image", "radar image", "synthetic aperture radar picture", "Sentinel-1 radar scene"),
    "msi": ("multispectral image", "multispectral satellite image", "Sentinel-2 image", "multiband picture"),
    "hsi": ("hyperspectral image", "hyperspectral satellite image", "imaging spectrometer scene", "EnMAP image"),
    "ir": ("thermal image", "thermal infrared image", "heat picture", "infrared scene"),
    "dem": ("elevation model", "digital elevation model", "terrain height map", "height map"),
}

PATTERNS: tuple[str, ...] = (
    "a {modality} of {phrase}",
    "{phrase}",
    "{phrase} seen from space",
    "this scene shows {phrase}",
    "this {modality} shows {phrase}",
    "an overhead view of {phrase}",
    "{phrase} in a {modality}",
    "{modality}: {phrase}",
    "a scene of {phrase}",
    "a view of {phrase} from above",
    "what you see here is {phrase}",
    "the land here is {phrase}",
    "a {modality} with {phrase}",
    "{phrase}, recorded from orbit",
    "an example of {phrase}",
    "a {modality} taken over {phrase}",
    "{phrase} in {season}",
    "a {modality} of {phrase} in {season}",
    "a {season} scene of {phrase}",
    "{phrase}, {season} of {year}",
    "a {modality} from {year} showing {phrase}",
    "{phrase} {where}",
    "a {modality} of {phrase} {where}",
    "{where} there is {phrase}",
    "{phrase} in a {climate} region",
    "a {climate} place with {phrase}",
    "a {modality} of {phrase} in a {climate} region",
    "{phrase} in the {hemisphere} hemisphere",
    "a {modality} of {phrase} at latitude {latitude}",
    "{phrase} {where} in {season}",
    "a {climate} {season} scene with {phrase}",
    "{phrase} with {things}",
    "a {modality} of {phrase} with {things}",
    "{things} in {phrase}",
    "there are {things} in this scene of {phrase}",
    "{phrase} and {things} seen from above",
    "{phrase} with a {size} {colour} {kind}",
    "a {size} {colour} {kind} in {phrase}",
    "{phrase} with a {kind} in the {corner}",
    "a {modality} of {phrase}, with a {kind} in the {corner}",
    "in the {corner} lies a {kind}, around it {phrase}",
    "a {kind} and {phrase}",
    "{phrase} {where}, with {things}",
    "a {season} {modality} of {phrase} with {things}",
)
"""All sentence patterns. A pattern whose slots a scene cannot fill is not used for it."""

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_OBJECT_WORDS: Mapping[str, tuple[str, str]] = {
    "warehouse": ("warehouse", "warehouses"),
    "tank": ("storage tank", "storage tanks"),
    "ship": ("ship", "ships"),
    "aircraft": ("aircraft", "aircraft"),
    "terminal": ("terminal building", "terminal buildings"),
    "pond": ("pond", "ponds"),
    "farm": ("farm building", "farm buildings"),
    "pivot": ("circular irrigated field", "circular irrigated fields"),
    "block": ("large block", "large blocks"),
    "field": ("green field", "green fields"),
    "array": ("panel array", "panel arrays"),
    "clearing": ("clearing", "clearings"),
    "pit": ("gravel pit", "gravel pits"),
    "grove": ("grove", "groves"),
    "lot": ("parking lot", "parking lots"),
}
_COLOURLESS = ("sar", "ir", "dem")
"""Modalities in which a colour cannot be seen, so none is named."""


def class_phrases(scene_class: str) -> tuple[str, ...]:
    """Return the names people give `scene_class`, the plainest first.

    Raises:
        KeyError: unknown class.
    """
    return _PHRASES[scene_class]


def _where(scene: Scene) -> str | None:
    place = scene.place
    if place.coast > 0.7:
        return "on the coast"
    if place.relief > 0.7:
        return "in a mountainous region"
    if place.population > 0.75:
        return "in a densely populated region"
    if place.population < 0.25:
        return "in a remote region"
    return "far inland" if place.coast < 0.05 and place.land > 0.6 else None


def _climate(scene: Scene) -> str:
    if scene.place.warmth < 0.3:
        return "cold"
    if scene.place.moisture < 0.35:
        return "dry"
    return "tropical" if scene.place.warmth > 0.85 else "humid" if scene.place.moisture > 0.7 else "temperate"


def _scene_slots(scene: Scene) -> dict[str, str]:
    found = {
        "season": scene.season,
        "year": str(scene.date.year),
        "climate": _climate(scene),
        "hemisphere": "northern" if scene.place.lat >= 0 else "southern",
        "latitude": f"{abs(round(scene.place.lat))} {'north' if scene.place.lat >= 0 else 'south'}",
    }
    where = _where(scene)
    return found if where is None else found | {"where": where}


def _count_slots(scene: Scene, kind: str) -> dict[str, str]:
    count = sum(thing.kind == kind for thing in scene.objects)
    one, many = _OBJECT_WORDS[kind]
    return {"things": f"{_NUMBERS[count] if count < len(_NUMBERS) else 'many'} {one if count == 1 else many}"}


def _thing_slots(thing: SceneObject, modality: str) -> dict[str, str]:
    x, y = thing.center_m
    found = {"kind": _OBJECT_WORDS[thing.kind][0], "corner": f"{'north' if y < 320 else 'south'}-{'west' if x < 320 else 'east'}"}
    if modality not in _COLOURLESS and thing.kind in ("warehouse", "ship", "farm", "block", "tank"):
        found |= {"colour": thing.colour, "size": thing.size}
    return found


def slots(scene: Scene, modality: str) -> dict[str, str]:
    """Return what the record says for each slot that it can fill, all but `phrase` and `modality`."""
    found = _scene_slots(scene)
    # The surface model is drawn with buildings and trees of some classes only, and no ponds or parked aircraft: name no things there.
    if not scene.objects or modality == "dem":
        return found
    kinds = sorted({thing.kind for thing in scene.objects})
    kind = kinds[scene.index % len(kinds)]
    found |= _count_slots(scene, kind)
    same = [thing for thing in scene.objects if thing.kind == kind]
    return found | _thing_slots(same[0], modality) if len(same) == 1 else found


def all_slots(scene: Scene, modality: str) -> Iterator[dict[str, str]]:
    """Yield every way in which the record fills the slots: what is said of the scene with, in turn, each kind's number and each thing."""
    base = _scene_slots(scene)
    yield base
    for kind in sorted({thing.kind for thing in scene.objects}):
        yield base | _count_slots(scene, kind)
    for thing in scene.objects:
        yield base | _thing_slots(thing, modality)


@dataclass(frozen=True)
class Sentence:
    """A sentence and what it says beside the class.

    Attributes:
        text: the sentence.
        says: its slots, all but `phrase` and `modality`, as the scene fills them.
    """

    text: str
    says: Mapping[str, str]


def captions(scene: Scene, modality: str, count: int) -> list[str]:
    """Return the texts of `sentences`."""
    return [sentence.text for sentence in sentences(scene, modality, count)]


def sentences(scene: Scene, modality: str, count: int) -> list[Sentence]:
    """Return `count` different sentences about `scene` as `modality` shows it: a function of the record.

    Args:
        scene: the scene.
        modality: rgb, sar, msi, hsi, ir or dem.
        count: how many sentences, at most the number of patterns that the scene can fill.
    """
    rng = scene.rng("text")
    filled = slots(scene, modality)
    usable = [pattern for pattern in PATTERNS if said_by(pattern) <= filled.keys()]
    # The first sixteen patterns say the class and nothing else; they get half the weight, so that the class is learnt first.
    weight = np.array([1.0 if said_by(pattern) else 2.0 for pattern in usable])
    order = rng.permutation(len(MODALITY_PHRASES[modality]) * 8)
    chosen = rng.choice(len(usable), min(count, len(usable)), replace=False, p=weight / weight.sum())
    phrases, pictures = _PHRASES[scene.scene_class], MODALITY_PHRASES[modality]
    found = []
    for i, pattern in enumerate(usable[int(pick)] for pick in chosen):
        class_words = {"phrase": phrases[int(order[i]) % len(phrases)], "modality": pictures[int(order[-i - 1]) % len(pictures)]}
        says = {name: filled[name] for name in sorted(said_by(pattern))}
        found.append(Sentence(_articles(pattern.format(**class_words, **says)), says))
    return found


@cache
def said_by(pattern: str) -> frozenset[str]:
    """Return the slots of a pattern, all but `phrase` and `modality`."""
    return frozenset(part.split("}")[0] for part in pattern.split("{")[1:]) - {"phrase", "modality"}


def _articles(sentence: str) -> str:
    """Return `sentence` with "a" before a vowel sound turned into "an"."""
    words = sentence.split(" ")
    for i, word in enumerate(words[:-1]):
        if word == "a" and words[i + 1][:1].lower() in "aeiou" and not words[i + 1].startswith(("uni", "eu", "one")):
            words[i] = "an"
    return " ".join(words)
