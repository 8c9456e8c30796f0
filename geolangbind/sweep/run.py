"""The sweep: every pair of coefficients merged in memory, measured, kept, and reported."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geolangbind.errors import SettingsError
from geolangbind.evaluate.suite import Labelled
from geolangbind.sweep.grid import GENERATORS, Pair, part_coefficients, same_merges
from geolangbind.sweep.merge import Parents, merged_tensors, put, read_parents
from geolangbind.sweep.plot import plot
from geolangbind.sweep.points import Point, append_point, open_points
from geolangbind.sweep.report import PICTURE_NAME, Report, write_report
from geolangbind.sweep.validation import Validation, open_validation, score, text_vectors

Track = Callable[[list[Pair]], Iterable[Pair]]
"""Wraps the points still to measure, to show progress."""


@dataclass(frozen=True)
class Request:
    """What to sweep.

    Attributes:
        base: model or run folder.
        rgb: the same, of the first branch.
        others: the same, of the second.
        m1: ascending coefficients of rgb.
        m2: ascending coefficients of others.
        suite: what to measure.
        out: folder to write.
        generator: one of `grid.GENERATORS`.
        command: what was typed, for the report.
    """

    base: str
    rgb: str
    others: str
    m1: tuple[float, ...]
    m2: tuple[float, ...]
    suite: Labelled
    out: Path
    generator: str = "average"
    command: str = ""

    def __post_init__(self) -> None:
        if self.generator not in GENERATORS:
            raise SettingsError(f"--generator is '{self.generator}'; a sweep knows {', '.join(GENERATORS)}")


def sweep(request: Request, track: Track = iter) -> Report:
    """Measure every pair of the grid and write points.jsonl, sweep.json, sweep.md and heatmap.png into the output folder.

    Points measured by an earlier run on the same inputs are not measured again; the grid may be another one.

    Raises:
        CheckpointError: the models cannot be merged, see `merge.read_parents`.
        DataError: the validation shards are missing, damaged or have no labels.
        SettingsError: the output folder holds a sweep of other inputs.
    """
    parents = read_parents({"base": request.base, "rgb": request.rgb, "others": request.others})
    validation = open_validation(request.suite, parents.model.statistics)
    inputs = _inputs(request, parents, validation)
    done = open_points(request.out, inputs)
    pairs = [Pair(m1, m2) for m2 in request.m2 for m1 in request.m1]
    # points measured before come first, so that they stand for the new ones that are the same merge
    stands_for = same_merges([*done, *pairs], parents.parts, request.generator)
    todo = [pair for pair in dict.fromkeys(stands_for[pair] for pair in pairs) if pair not in done]
    started = time.monotonic()
    for point in _measure(parents, validation, todo, request.generator, track):
        append_point(request.out, point)
        done[point.pair] = point
    points = {pair: done[stands_for[pair]] for pair in pairs}
    report = Report(request.m1, request.m2, points, inputs, validation.synthetic, request.command, len(todo), time.monotonic() - started)
    write_report(request.out, report)
    plot(request.out / PICTURE_NAME, report)
    return report


def _measure(parents: Parents, validation: Validation, todo: list[Pair], generator: str, track: Track) -> Iterator[Point]:
    prototypes = text_vectors(parents.model, validation) if parents.same_text else {}
    for pair in track(todo):
        put(parents, merged_tensors(parents, part_coefficients(pair, generator)))
        yield Point(pair, score(parents.model, validation, prototypes or text_vectors(parents.model, validation)))


def _inputs(request: Request, parents: Parents, validation: Validation) -> dict[str, Any]:
    """Everything that a point's numbers depend on besides its coefficients."""
    return {
        **{role: {"path": parents.paths[role], "sha256": parents.sha256[role]} for role in parents.paths},
        "generator": request.generator,
        "suite": request.suite.name,
        "data": {"path": request.suite.data, "revision": validation.revision, "label": request.suite.label},
        "prompts": validation.prompts(),
    }
