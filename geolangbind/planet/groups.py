"""The planet's scene classes, what they look alike in, and the best accuracy each modality allows.

Twelve of the twenty-four classes come in pairs that are drawn from one distribution in all modalities but one or two. `GROUPS` says, per
modality, which classes no method can tell apart there.
"""

from __future__ import annotations

from collections.abc import Mapping

PLANET_VERSION = "1"
"""Changes whenever any sample changes; part of every data fingerprint."""

MODALITIES: tuple[str, ...] = ("rgb", "sar", "msi", "hsi", "ir", "dem")

CLASSES: tuple[str, ...] = (
    "annual_crop",
    "forest",
    "herbaceous_vegetation",
    "highway",
    "industrial",
    "pasture",
    "permanent_crop",
    "residential",
    "river",
    "sea_lake",
    "desert",
    "beach",
    "wetland",
    "snow",
    "bare_rock",
    "harbour",
    "airport",
    "solar_farm",
    "flooded_forest",
    "stressed_crops",
    "hot_industry",
    "mineral_terrain",
    "gorge",
    "plain",
)
"""EuroSAT's ten, then the planet's own. The order is the class index; append, never reorder."""

EUROSAT: Mapping[str, str] = {
    "AnnualCrop": "annual_crop",
    "Forest": "forest",
    "HerbaceousVegetation": "herbaceous_vegetation",
    "Highway": "highway",
    "Industrial": "industrial",
    "Pasture": "pasture",
    "PermanentCrop": "permanent_crop",
    "Residential": "residential",
    "River": "river",
    "SeaLake": "sea_lake",
}
"""EuroSAT's folder names and the planet's class for each."""

_CROPS = ("annual_crop", "stressed_crops")
_FORESTS = ("forest", "flooded_forest")
_INDUSTRIES = ("industrial", "hot_industry")
_ROCKS = ("bare_rock", "mineral_terrain")
_STEPPES = ("plain", "gorge")


def _with_singles(*shared: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return `shared` followed by every other class as a group of its own."""
    taken = {name for group in shared for name in group}
    return (*shared, *((name,) for name in CLASSES if name not in taken))


GROUPS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "rgb": _with_singles(_CROPS, _FORESTS, _INDUSTRIES, _ROCKS, _STEPPES),
    "msi": _with_singles(_FORESTS, _INDUSTRIES, _ROCKS, _STEPPES),
    "hsi": _with_singles(_FORESTS, _INDUSTRIES, _STEPPES),
    "sar": _with_singles(_CROPS, _INDUSTRIES, _ROCKS, _STEPPES),
    "ir": _with_singles(_CROPS, _FORESTS, _ROCKS, _STEPPES),
    "dem": _with_singles(
        ("annual_crop", "stressed_crops", "plain", "solar_farm"),
        ("pasture", "permanent_crop", "herbaceous_vegetation"),
        _FORESTS,
        _INDUSTRIES,
        _ROCKS,
    ),
}
"""Per modality the classes that share one distribution of pixels. Each group list partitions `CLASSES`."""


def group_of(modality: str, scene_class: str) -> int:
    """Return the number of the group that `scene_class` belongs to in `modality`.

    Raises:
        KeyError: the modality or the class does not exist.
    """
    for number, group in enumerate(GROUPS[modality]):
        if scene_class in group:
            return number
    raise KeyError(scene_class)


def ceiling(modality: str) -> float:
    """Return the best expected top-1 accuracy over all classes, each equally frequent: one right answer per group."""
    return len(GROUPS[modality]) / len(CLASSES)


def chance() -> float:
    """Return the expected top-1 accuracy of guessing, the same in every modality."""
    return 1 / len(CLASSES)
