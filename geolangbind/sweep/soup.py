"""Model soups: the plain average of models that were trained from one start, all of them or those that help (arXiv 2203.05482)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from geolangbind.checkpoint import atomic_path
from geolangbind.errors import SettingsError
from geolangbind.evaluate.suite import Labelled
from geolangbind.sweep.merge import Parents, merge_errors, merged_tensors, put, read_parents
from geolangbind.sweep.points import mean_of
from geolangbind.sweep.validation import Validation, open_validation, score, text_vectors
from merge_weights.chain import PARTS, Step
from merge_weights.inputs import check_out, open_sources
from merge_weights.methods.soup import greedy
from merge_weights.run import merge

SOUP = "soup.json"


@dataclass(frozen=True)
class SoupRequest:
    """What to cook.

    Attributes:
        models: model or run folders.
        suite: what to measure.
        out: model folder to write.
        uniform: average all of them.
        overwrite: replace a merged model at `out`.
        command: what was typed, for the model's provenance.
    """

    models: tuple[str, ...]
    suite: Labelled
    out: Path
    uniform: bool = False
    overwrite: bool = False
    command: str = ""


@dataclass(frozen=True)
class Soup:
    """What came of it.

    Attributes:
        chosen: the models that were averaged, in the order in which they were added.
        scores: every set of models that was tried, with its top-1 averaged over modalities.
    """

    chosen: tuple[str, ...]
    scores: tuple[tuple[tuple[str, ...], float], ...]


def average_coefficients(count: int) -> tuple[float, ...]:
    """Coefficients of a chain that is the plain average of `count` models, with the roundings of `merge_weights.methods.soup`."""
    return tuple(1 / number for number in range(2, count + 1))


def make_soup(request: SoupRequest, advance: Callable[[], object] = lambda: None) -> Soup:
    """Choose the models, then write their average as a model folder, with `soup.json` beside the weights.

    Greedy: models are added in the order of their own scores, and kept if the average does not get worse.

    Args:
        request: what to cook.
        advance: called after each set of models that was measured.

    Raises:
        SettingsError: not at least two different models.
        CheckpointError: they cannot be merged, see `merge.read_parents`, or the output folder cannot be written.
        DataError: the validation shards are missing, damaged or have no labels.
    """
    if len(set(request.models)) < max(2, len(request.models)):
        raise SettingsError(f"a soup needs at least two different models, got {', '.join(request.models)}")
    with merge_errors():  # before the work, not after it
        check_out(request.out, open_sources(request.models[0], [Step(model, model, 1.0) for model in request.models]), request.overwrite)
    parents = read_parents({model: model for model in request.models})
    validation = open_validation(request.suite, parents.model.statistics)
    tried: dict[tuple[str, ...], float] = {}

    def measured(names: Sequence[str]) -> float:
        key = tuple(names)
        if key not in tried:
            tried[key] = _score(parents, validation, key)
            advance()
        return tried[key]

    if request.uniform:
        chosen = request.models
        measured(chosen)
    else:
        chosen = tuple(greedy(request.models, measured).chosen)
    made = Soup(chosen, tuple(tried.items()))
    _write(request, made, validation)
    return made


def _score(parents: Parents, validation: Validation, names: Sequence[str]) -> float:
    """Top-1, averaged over modalities, of the average of some of the parents."""
    order = list(parents.paths)
    coefficients = dict.fromkeys(PARTS, average_coefficients(len(names)))
    put(parents, merged_tensors(parents, coefficients, [order.index(name) for name in names]))
    return mean_of(score(parents.model, validation, text_vectors(parents.model, validation)))


def _write(request: SoupRequest, made: Soup, validation: Validation) -> None:
    steps = [(model, 1.0) for model in made.chosen]
    with merge_errors():
        # a soup has no base: the first model stands there for the architecture, its values are not looked at
        merge(made.chosen[0], steps, request.out, method="soup", overwrite=request.overwrite, command=request.command)
    told: dict[str, Any] = {
        "kind": "uniform" if request.uniform else "greedy",
        "paper": "arXiv 2203.05482",
        "models": request.models,
        "chosen": made.chosen,
        "scores": [{"models": names, "mean_top1": value} for names, value in made.scores],
        "data": {"path": request.suite.data, "revision": validation.revision, "label": request.suite.label},
        "prompts": validation.prompts(),
        "synthetic": validation.synthetic,
        "command": request.command,
    }
    with atomic_path(request.out / SOUP) as part:
        part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def render(made: Soup) -> Table:
    """Every set that was tried, with its score; the one that was written in bold."""
    table = Table()
    table.add_column("models")
    table.add_column("mean top-1 %", justify="right")
    for names, value in made.scores:
        style = "bold" if names == made.chosen else None
        table.add_row(" + ".join(names), f"{100 * value:.1f}", style=style)
    return table
