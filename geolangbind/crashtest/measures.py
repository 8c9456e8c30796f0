"""The scores of a crash test, each a function of what a model sees of one stack set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geolangbind.crashtest.changes import Change, swapped_pixels, swapped_with_names
from geolangbind.crashtest.scores import Numbers, drift, interval, margin, quotient, same_place_auc
from geolangbind.crashtest.stacks import StackSet, rows
from geolangbind.data.batch import Batch
from geolangbind.errors import GeoLangBindError
from geolangbind.evaluate.embedder import Embedder
from geolangbind.evaluate.measure import Measure

TASK = "crash_test"
_BATCH = 64
_TO = " -> "


@dataclass(frozen=True, eq=False)
class Look:
    """A model, what it looks at, and what it has seen so far.

    Attributes:
        embedder: the model.
        stacks: the places.
        weights: (1 + R, P), see `scores.place_weights`.
        seen: (P, D) unit vectors of each view that the model takes.
        refused: why it does not take the others.
    """

    embedder: Embedder
    stacks: StackSet
    weights: Numbers
    seen: dict[str, Tensor] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def usual(self) -> list[str]:
        """The seen views that do not stand for an unseen sensor: scores are taken on these."""
        return [name for name in self.seen if name not in self.stacks.unseen]

    @torch.no_grad()
    def attempt(self, batch: Batch) -> Tensor | str:
        """(P, D) unit vectors of a view, or why the model refuses it."""
        starts = range(0, len(batch), _BATCH)
        try:
            parts = [self.embedder.images(rows(batch, start, min(start + _BATCH, len(batch)))) for start in starts]
        except GeoLangBindError as error:
            return str(error)
        return torch.cat(parts).float().cpu()


def coverage(look: Look) -> Measure:
    """Share of the views that the model takes at all."""
    views = {name: float(name in look.seen) for name in look.stacks.views}
    share = sum(views.values()) / len(views)
    details = {"title": "Sensors it can see", "means": "share of the views that the model takes at all", "ideal": 1.0, "views": views}
    return Measure(TASK, "coverage", "all", share, len(views), 0.0, sensors=_sensors(look.stacks, views), details=details)


def same_place(look: Look) -> list[Measure]:
    """AUC and margin over all ordered pairs of usual views, AUC from unseen sensors to their counterparts, and the AUC of every pair."""
    seen, views = look.seen, look.stacks.views
    usual = [(a, b) for a, b in permutations(look.usual, 2)]
    new = [(a, b) for a, b in look.stacks.unseen.items() if a in seen and b in seen]
    aucs = {(a, b): same_place_auc(seen[a], seen[b], look.weights) for a, b in [*usual, *new]}
    margins = {(a, b): margin(seen[a], seen[b], look.weights) for a, b in usual}
    found = [
        *_pooled(look, "same_place_auc", "Same place, another sensor", "how often a place is nearer to itself than to another place",
                 _named(aucs, usual), 0.5, 1.0),
        *_pooled(look, "same_place_margin", "Margin of the same place", "cosine similarity of the same place less that of other places",
                 _named(margins, usual), 0.0, 1.0),
        *_pooled(look, "unseen_auc", "Same place, unseen sensor", "the same from a rarer sensor to the nearest of the usual ones",
                 _named(aucs, new), 0.5, 1.0),
    ]  # fmt: skip
    for (a, b), auc in aucs.items():
        value, low, high = interval(auc)
        modality, sensors = f"{views[a].modality}->{views[b].modality}", f"{views[a].sensor} {views[b].sensor}"
        details: dict[str, Any] = {"pair": f"{a}{_TO}{b}", "ideal": 1.0}
        if (a, b) in margins:
            details["margin"] = interval(margins[a, b])
        found.append(
            Measure(TASK, "same_place_auc_pair", modality, value, len(look.stacks.places), 0.5, low, high, sensors, details=details)
        )
    return found


def changed(look: Look, change: Change) -> list[Measure]:
    """Drift under one change, over the usual views.

    A model that refuses bare stored numbers is right: no drift. Any other view that is refused once it is changed counts in no mean and
    is named in `details["refused"]`.
    """
    drifts: dict[str, Numbers] = {}
    refused: dict[str, str] = {}
    for name in look.usual:
        batch = look.stacks.views[name]
        if (made := change.make(batch)) is None:
            continue
        before, after = (look.seen[name] if image is batch else look.attempt(image) for image in made)
        if isinstance(before, str) or isinstance(after, str):
            refused[name] = before if isinstance(before, str) else str(after)
            if change.may_refuse:
                drifts[name] = np.zeros(len(look.weights))
        else:
            drifts[name] = drift(before, after, look.weights)
    return _pooled(look, f"{change.name}_drift", change.title, change.means, drifts, 1.0, 0.0, refused)


def swap_noticed(look: Look) -> list[Measure]:
    """How much of the movement caused by swapped VV and VH pixels is undone when their names are swapped too; 0 where nothing moves."""
    shares: dict[str, Numbers] = {}
    for name in look.usual:
        pixels, both = swapped_pixels(look.stacks.views[name]), swapped_with_names(look.stacks.views[name])
        if pixels is None or both is None:
            continue
        alone, named = look.attempt(pixels[1]), look.attempt(both[1])
        if not isinstance(alone, str) and not isinstance(named, str):
            moved, left = (drift(look.seen[name], after, look.weights) for after in (alone, named))
            shares[name] = np.clip(1 - quotient(left, moved, otherwise=1.0), 0, 1)
    return _pooled(
        look, "swap_noticed", "VV and VH swapped, names not", "how much of the move comes back when the names are swapped too",
        shares, 0.0, 1.0,
    )  # fmt: skip


def other_date(look: Look) -> list[Measure]:
    """Same place at another date against other places, and drift."""
    tried = {name: look.attempt(batch) for name, batch in look.stacks.again.items() if name in look.seen}
    later = {name: vectors for name, vectors in tried.items() if not isinstance(vectors, str)}
    aucs = {name: same_place_auc(look.seen[name], vectors, look.weights) for name, vectors in later.items()}
    drifts = {name: drift(look.seen[name], vectors, look.weights) for name, vectors in later.items()}
    return [
        *_pooled(look, "date_auc", "Same place, another date", "how often a place at another date is nearer than another place",
                 aucs, 0.5, 1.0),
        *_pooled(look, "date_drift", "Another date", "season, sun and greenness differ, the place does not", drifts, 1.0, 0.0),
    ]  # fmt: skip


def _pooled(
    look: Look, metric: str, title: str, means: str, views: Mapping[str, Numbers], chance: float, ideal: float,
    refused: Mapping[str, str] | None = None,
) -> list[Measure]:  # fmt: skip
    """The mean over views as one measure, none without a view; replicates draw the same places in every view."""
    if not views:
        return []
    value, low, high = interval(np.mean(list(views.values()), axis=0))
    told = {name: interval(values) for name, values in views.items()}
    details = {"title": title, "means": means, "ideal": ideal, "views": told, "refused": dict(refused or {})}
    sensors = _sensors(look.stacks, (name for pair in views for name in pair.split(_TO)))
    return [Measure(TASK, metric, "all", value, len(look.stacks.places), chance, low, high, sensors, details=details)]


def _named(values: Mapping[tuple[str, str], Numbers], pairs: Iterable[tuple[str, str]]) -> dict[str, Numbers]:
    return {f"{a}{_TO}{b}": values[a, b] for a, b in pairs}


def _sensors(stacks: StackSet, names: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(stacks.views[name].sensor for name in names))
