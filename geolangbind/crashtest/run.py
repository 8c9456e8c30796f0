"""One embedder and one stack set in, measures out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from geolangbind.crashtest.changes import CHANGES
from geolangbind.crashtest.measures import Look, changed, coverage, other_date, same_place, swap_noticed
from geolangbind.crashtest.scores import Numbers, place_weights, same_place_auc
from geolangbind.crashtest.stacks import StackSet
from geolangbind.evaluate.embedder import Embedder
from geolangbind.evaluate.measure import Measure


@dataclass(frozen=True, eq=False)
class CrashTest:
    """What one model made of one stack set.

    Attributes:
        model: name of the model.
        sha256: its identity.
        stacks: what it saw.
        measures: one per score, then one per ordered pair of views (`same_place_auc_pair`).
        refused: why the model cannot see a view, by the view's name.
        auc: (V, V) same-place AUC from row to column, in the order of `stacks.views`; NaN where a view is refused.
        strip: (V,) cosine of the first place in each view to that in the first view that is seen, likewise.
    """

    model: str
    sha256: str
    stacks: StackSet
    measures: tuple[Measure, ...]
    refused: Mapping[str, str]
    auc: Numbers
    strip: Numbers


def crash_test(embedder: Embedder, stacks: StackSet, seed: int = 0, tick: Callable[[], None] = lambda: None) -> CrashTest:
    """Run every score on one stack set.

    Args:
        embedder: any object of the protocol; a view it refuses (GeoLangBindError) is left out and named.
        stacks: at least two places.
        seed: of the bootstrap.
        tick: called `steps(stacks)` times on the way.

    Returns:
        Measures of task `crash_test`; their `details` hold `title`, `means`, `ideal` and `views` (value, low, high by view or pair).
    """
    look = Look(embedder, stacks, place_weights(len(stacks.places), seed))
    for name, batch in stacks.views.items():
        vectors = look.attempt(batch)
        if isinstance(vectors, str):
            look.refused[name] = vectors
        else:
            look.seen[name] = vectors
        tick()
    found = [coverage(look), *same_place(look)]
    for change in CHANGES:
        found += changed(look, change)
        tick()
    found += [*swap_noticed(look), *other_date(look)]
    found.sort(key=lambda measure: measure.metric == "same_place_auc_pair")  # stable: pairs to the end
    tick()
    first = next(iter(look.seen.values()), None)
    strip = [float(look.seen[name][0] @ first[0]) if name in look.seen and first is not None else np.nan for name in stacks.views]
    return CrashTest(embedder.name, embedder.sha256, stacks, tuple(found), look.refused, _aucs(look), np.array(strip))


def steps(stacks: StackSet) -> int:
    """How often `crash_test` calls its `tick`."""
    return len(stacks.views) + len(CHANGES) + 1


def _aucs(look: Look) -> Numbers:
    """The matrix of all views, unseen ones too."""
    seen, once = look.seen, look.weights[:1]
    names = list(look.stacks.views)
    return np.array([[same_place_auc(seen[a], seen[b], once)[0] if a in seen and b in seen else np.nan for b in names] for a in names])
