"""Which model is asked what, and how it did, on disk: one file per model and split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolangbind.checkpoint import atomic_path
from geolangbind.demo_interleaved.goals import lines
from geolangbind.instruct.ranking import SequenceModel, Standings, rank
from geolangbind.instruct.row import RankingRow
from geolangbind.instruct.rows import Pairs


def tasks_of(name: str) -> list[str]:
    """Rankings that the table asks of a model."""
    return list(dict.fromkeys(task for line in lines() if line.model == name for task in line.tasks))


def ranking_rows(pairs: Pairs, task: str) -> list[RankingRow]:
    """All rows of a ranking."""
    source = pairs.sources[task]
    return [row for row in source.read(range(len(source))) if isinstance(row, RankingRow)]


def rank_all(rows: Mapping[str, list[RankingRow]], model: SequenceModel, tasks: Iterable[str]) -> dict[str, Standings]:
    """Standings of a model on those of `tasks` that there are rows of."""
    return {task: rank(rows[task], model) for task in tasks if task in rows}


def save_standings(path: Path, found: Mapping[str, Standings]) -> None:
    """Write standings by ranking."""
    columns = {f"{task}/{field.name}": np.asarray(getattr(one, field.name)) for task, one in found.items() for field in fields(Standings)}
    with atomic_path(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **columns)  # type: ignore[arg-type]


def load_standings(path: Path) -> dict[str, Standings]:
    """Read what `save_standings` wrote."""
    with np.load(path, allow_pickle=False) as held:
        tasks = dict.fromkeys(name.split("/")[0] for name in held.files)
        return {task: _standings({field.name: held[f"{task}/{field.name}"] for field in fields(Standings)}) for task in tasks}


def _standings(held: Mapping[str, NDArray[Any]]) -> Standings:
    ids, groups, scenes = (tuple(map(str, held[name])) for name in ("ids", "groups", "scenes"))
    return Standings(ids, groups, scenes, held["values"], held["chance"], held["candidates"])
