"""Sentences about a scene: templates with slots, filled from the record alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

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


def slots(scene: Scene, modality: str) -> dict[str, str]:
    """Return what the record says for each slot that it can fill, all but `phrase` and `modality`."""
    found = {
        "season": scene.season,
        "year": str(scene.date.year),
        "climate": _climate(scene),
        "hemisphere": "northern" if scene.place.lat >= 0 else "southern",
        "latitude": f"{abs(round(scene.place.lat))} {'north' if scene.place.lat >= 0 else 'south'}",
    }
    where = _where(scene)
    if where is not None:
        found["where"] = where
    # The surface model is drawn with buildings and trees of some classes only, and no ponds or parked aircraft: name no things there.
    if not scene.objects or modality == "dem":
        return found
    kinds = sorted({thing.kind for thing in scene.objects})
    kind = kinds[scene.index % len(kinds)]
    count = sum(thing.kind == kind for thing in scene.objects)
    one, many = _OBJECT_WORDS[kind]
    found["things"] = f"{_NUMBERS[count] if count < len(_NUMBERS) else 'many'} {one if count == 1 else many}"
    if count == 1:
        thing = next(thing for thing in scene.objects if thing.kind == kind)
        x, y = thing.center_m
        found["kind"] = one
        found["corner"] = f"{'north' if y < 320 else 'south'}-{'west' if x < 320 else 'east'}"
        if modality not in _COLOURLESS and kind in ("warehouse", "ship", "farm", "block", "tank"):
            found["colour"], found["size"] = thing.colour, thing.size
    return found


def captions(scene: Scene, modality: str, count: int) -> list[str]:
    """Return `count` different sentences about `scene` as `modality` shows it: a function of the record.

    Args:
        scene: the scene.
        modality: rgb, sar, msi, hsi, ir or dem.
        count: how many sentences, at most the number of patterns that the scene can fill.
    """
    rng = scene.rng("text")
    filled = slots(scene, modality)
    usable = [pattern for pattern in PATTERNS if all(name in filled for name in _names(pattern) - {"phrase", "modality"})]
    # The first sixteen patterns say the class and nothing else; they get half the weight, so that the class is learnt first.
    weight = np.array([2.0 if not (_names(pattern) - {"phrase", "modality"}) else 1.0 for pattern in usable])
    order = rng.permutation(len(MODALITY_PHRASES[modality]) * 8)
    chosen = rng.choice(len(usable), min(count, len(usable)), replace=False, p=weight / weight.sum())
    phrases, pictures = _PHRASES[scene.scene_class], MODALITY_PHRASES[modality]
    return [
        _articles(
            usable[pick].format(
                phrase=phrases[int(order[i]) % len(phrases)], modality=pictures[int(order[-i - 1]) % len(pictures)], **filled
            )
        )
        for i, pick in enumerate(int(pick) for pick in chosen)
    ]


def _names(pattern: str) -> set[str]:
    return {part.split("}")[0] for part in pattern.split("{")[1:]}


def _articles(sentence: str) -> str:
    """Return `sentence` with "a" before a vowel sound turned into "an"."""
    words = sentence.split(" ")
    for i, word in enumerate(words[:-1]):
        if word == "a" and words[i + 1][:1].lower() in "aeiou" and not words[i + 1].startswith(("uni", "eu", "one")):
            words[i] = "an"
    return " ".join(words)
