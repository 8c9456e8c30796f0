"""Routed kernel generators: blocks are merged, but each sensor group keeps its own generator, chosen by physical kind. No numpy here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from merge_weights.chain import Step
from merge_weights.errors import MergeError

GENERATOR_PREFIX, ROUTES_PREFIX = "vision.patch_embed.", "vision.routes."

_BANDS, _POLARIZATIONS = ("p", "l", "s", "c", "x", "ku", "ka"), ("vv", "vh", "hh", "hv")
_RADAR = tuple(f"{family}_{pol}_{band}" for family in ("sigma0", "gamma0") for band in _BANDS for pol in _POLARIZATIONS)
_REFLECTANCE = ("reflectance_toa", "reflectance_surface")
_THERMAL = ("brightness_temperature", "surface_temperature")

KINDS: dict[str, tuple[str, ...]] = {
    "rgb": ("display",),
    "sar": _RADAR,
    "msi": _REFLECTANCE,
    "hsi": _REFLECTANCE,
    "ir": _THERMAL,
    "dem": ("elevation", "height"),
}
"""Physical kinds of the sensor groups that a step can be named after; an image of a group is known by them."""


@dataclass(frozen=True)
class Route:
    """One step's own generator: name of the step, its place in the chain, its coefficient, and the kinds of images it is for."""

    name: str
    step: int
    coefficient: float
    kinds: tuple[str, ...]


def make_routes(names: Sequence[str], steps: Sequence[Step]) -> tuple[Route, ...]:
    """Decide which steps keep their generator: those named, but the last step's is the one for all other images.

    Args:
        names: of steps.
        steps: the chain.

    Raises:
        MergeError: no such step, or its images cannot be told from the others'.
    """
    known = [step.name for step in steps]
    if unknown := [name for name in names if name not in known]:
        raise MergeError(f"no step is called {', '.join(unknown)}; steps are {', '.join(known)}")
    routes: list[Route] = []
    for index, step in enumerate(steps[:-1]):
        if step.name not in names:
            continue
        kinds = KINDS.get(step.name)
        if kinds is None:
            raise MergeError(
                f"step {step.name} cannot be routed: routes are told apart by the groups {', '.join(KINDS)}; name it after one"
            )
        if taken := [route.name for route in routes if set(route.kinds) & set(kinds)]:
            raise MergeError(f"{step.name} and {taken[0]} hold the same physical kinds and cannot both be routed; route one of them")
        routes.append(Route(step.name, index, step.coefficient_for("generator"), kinds))
    return tuple(routes)


def routed_name(key: str, route: Route) -> str:
    """Name of a generator's tensor in the route's own generator."""
    return f"{ROUTES_PREFIX}{route.name}.{key.removeprefix(GENERATOR_PREFIX)}"
