"""Routes: kernel generators of their own for groups of physical kinds, over one shared transformer.

Averaging the weights of two kernel generators costs more than averaging transformer blocks: a merged model can share the blocks and let
each sensor group keep the generator it was trained with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from geolangbind.errors import CheckpointError
from geolangbind.sensors.channels import KINDS, ChannelSet

Routes = tuple[tuple[str, tuple[str, ...]], ...]
"""(name, physical kinds) pairs; a kind belongs to one route at most."""

_NAME = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")  # becomes a part of tensors' names, so it has no dots
_TAKEN = frozenset(dir(nn.ModuleDict()))  # methods, which a module's children must not hide


def check_routes(routes: Routes, *, kinds: bool) -> None:
    """Refuse routes that cannot be followed.

    Args:
        routes: to check.
        kinds: whether the model is told of physical kinds.

    Raises:
        CheckpointError: the model is told of wavelengths only, or a name or kind is unusable, unknown, repeated or missing.
    """
    if routes and not kinds:
        raise CheckpointError("routes choose a kernel generator by physical kind, but this model knows wavelengths only; leave routes out")
    seen: set[str] = set()
    for name, members in routes:
        if not _NAME.fullmatch(name) or name in _TAKEN:
            raise CheckpointError(f"'{name}' cannot name a route; use lower-case letters, digits, '-' and '_', for example 'rgb'")
        if not members:
            raise CheckpointError(f"route '{name}' has no physical kinds; leave it out or give it some, for example 'display'")
        if unknown := sorted(set(members) - set(KINDS)):
            raise CheckpointError(f"route '{name}' has unknown kinds {', '.join(unknown)}; kinds are {', '.join(KINDS)}")
        if shared := sorted(seen & set(members)):
            raise CheckpointError(f"{', '.join(shared)} belongs to route '{name}' and to one before it; a kind has one generator")
        seen |= set(members)
    if len({name for name, _ in routes}) < len(routes):
        raise CheckpointError(f"two routes have one name: {', '.join(name for name, _ in routes)}")


def route_of(channels: ChannelSet, routes: Routes) -> str | None:
    """Name the route of an image: the one that has the kinds of all its channels; None where there is no such route."""
    if channels.kinds is None:
        return None
    kinds = set(channels.kinds)
    return next((name for name, members in routes if kinds <= set(members)), None)


def routes_from_json(data: Iterable[Sequence[Any]]) -> Routes:
    """Read routes as `config.json` holds them: `[["rgb", ["display"]]]`.

    Raises:
        TypeError, ValueError: they are not such pairs.
    """
    pairs = []
    for name, members in data:
        if isinstance(members, str):
            raise TypeError(f"the kinds of route {name} are one string, not a list")
        pairs.append((str(name), tuple(str(kind) for kind in members)))
    return tuple(pairs)
