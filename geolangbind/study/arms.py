"""What is compared: arms as data. All start from one base (or from random weights) and cost the same unless their text says otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from geolangbind.demo.profile import Profile

SHARED = Profile("study", 4320, 960, 120, 480, 2600, 240, 0, 0, 0, 64, (), 0, 0)
"""Planet, base and teachers that all arms share: those of the quick demo, with twice its held-out scenes."""

BASE = "base"
FEWEST_SEEDS, MOST_SEEDS = 1, 5


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes:
        name: its folder.
        what: shown in tables.
        steps: optimiser steps; 0 for merges.
        step_s: about what a step takes on one thread, in seconds; for the estimate.
        start: arm or base to continue from; "codes" and "no codes" for random weights with and without a vector per polarisation.
        settings: overrides of `geolangbind-train`.
        parts: arms to merge onto the base with 0.9 and 0.5, in this order.
        measures: beside zero-shot: "probes" (nearest neighbours, land cover of patches), "unseen" (sensors never seen in training).
        modalities: those measured; empty for all.
    """

    name: str
    what: str
    steps: int = 0
    step_s: float = 0.0
    start: str = BASE
    settings: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()


_BRANCH = ("experiment=demo_branch",)
_ALL = (*_BRANCH, "sensor_group=all")
_OTHERS = (*_BRANCH, "sensor_group=others")
# every second step looks at a second sensor: a third more images, so a quarter fewer steps
_CROSS = ("cross_sensor.weight=0.5", "cross_sensor.share=0.5", "cross_sensor.modalities=[rgb,sar,msi,hsi,ir,dem]")
_SCRATCH = ("experiment=demo_base", "sensor_group=sar")
_VIRTUAL = ("virtual_sensors.share=0.5", "augment.drop_bands=0.25")

ARMS = (
    Arm("rgb", "RGB branch", 400, 0.16, settings=(*_BRANCH, "sensor_group=rgb")),
    Arm("others", "branch of the other five", 900, 0.18, settings=_OTHERS),
    Arm("merged", "rgb and others, merged 0.9 / 0.5", parts=("rgb", "others")),
    Arm("joint", "all sensors in one run", 1300, 0.18, settings=_ALL, measures=("probes", "unseen")),
    Arm("sequential", "rgb, then others on top", 900, 0.18, start="rgb", settings=_OTHERS),
    Arm("rgb-cross", "RGB branch with the cross-sensor term", 300, 0.22, settings=(*_BRANCH, "sensor_group=rgb", *_CROSS)),
    Arm("others-cross", "others with the cross-sensor term", 675, 0.24, settings=(*_OTHERS, *_CROSS)),
    Arm("merged-cross", "both cross-sensor branches, merged 0.9 / 0.5", parts=("rgb-cross", "others-cross")),
    Arm("joint-cross", "all sensors with the cross-sensor term", 975, 0.24, settings=(*_ALL, *_CROSS)),
    Arm(
        "joint-no-maka", "all sensors without teachers", 1300, 0.15, settings=(*_ALL, "teachers=none"),
        measures=("probes",),
    ),
    Arm(
        "joint-virtual", "half of the hyperspectral steps through virtual sensors, bands dropped in a quarter of steps", 1300, 0.18,
        settings=(*_ALL, *_VIRTUAL), measures=("unseen",),
    ),
    Arm(
        "joint-robust", "the same, and told wavelengths that are off by 2 %", 1300, 0.18,
        settings=(*_ALL, *_VIRTUAL, "augment.wavelength_jitter=0.02"), measures=("unseen",),
    ),
    Arm(
        "sar-codes", "radar from random weights, a code per polarisation", 800, 0.07, start="codes", settings=_SCRATCH,
        modalities=("sar",),
    ),
    Arm(
        "sar-no-codes", "radar from random weights, one number for every channel", 800, 0.07, start="no codes", settings=_SCRATCH,
        modalities=("sar",),
    ),
)  # fmt: skip
"""In an order in which every arm comes after those it needs."""


def needed(arm: Arm) -> tuple[str, ...]:
    """Arms of the same seed that must be there first."""
    names = {other.name for other in ARMS}
    return tuple(name for name in (*arm.parts, arm.start) if name in names)
