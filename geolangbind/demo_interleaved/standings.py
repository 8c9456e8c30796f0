"""Which model is asked what, and how it did, on disk: one file per model and split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np

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
    with np.load(path) as held:
        tasks = dict.fromkeys(name.split("/")[0] for name in held.files)
        return {
            task: Standings(
                *(tuple(held[f"{task}/{told}"].tolist()) for told in ("ids", "groups", "scenes")),
                *(held[f"{task}/{told}"] for told in ("values", "chance", "candidates")),
            )
            for task in tasks
        }
