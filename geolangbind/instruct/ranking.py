"""Ranking rows under a model: precision at 1, recall at 5, mean reciprocal rank, and how far two models are apart.

The scope of a query is its row: it is set against the row's candidates and nothing else. Candidates of equal score stand in random order,
and every figure is the expectation over it: a model that tells nothing apart scores chance, however its rows are laid out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolangbind.checkpoint import atomic_path
from geolangbind.errors import DataError
from geolangbind.evaluate.bootstrap import bootstrap, weighted_ratio
from geolangbind.evaluate.measure import Measure
from geolangbind.evaluate.top_k import hit_chance, pair_scores
from geolangbind.instruct.row import RankingRow
from geolangbind.instruct.segments_json import Sequence as Segments
from geolangbind.instruct.segments_json import key_of
from geolangbind.interleaved.render import Rendering
from geolangbind.interleaved.segments import Image

METRICS = ("p1", "r5", "mrr")
"""Whether a right candidate comes first, is among the first five, and one over the rank of the first right one."""


@dataclass(frozen=True, eq=False)
class SequenceModel:
    """What is asked of a model.

    Attributes:
        name: as people call it.
        sha256: identity of the weights and of everything else that changes a vector.
        prompts: hash of how sequences are written, see `rendering_hash`.
        embed: of sequences under one instruction, their unit vectors (n, D) float32 on the CPU.
    """

    name: str
    sha256: str
    prompts: str
    embed: Callable[[Sequence[Segments], str], Tensor]


@dataclass(frozen=True, eq=False)
class Standings:
    """How a model did on Q queries.

    Attributes:
        ids: of the rows.
        groups: of the rows.
        scenes: what the bootstrap draws together: the key of the query's first image, else the row's id.
        values: (Q, 3) float64, a column per `METRICS`.
        chance: (Q, 3), the same of a model that tells nothing apart.
        candidates: (Q,) int64, how many each query has.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    scenes: tuple[str, ...]
    values: NDArray[np.float64]
    chance: NDArray[np.float64]
    candidates: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, *groups: str) -> Standings:
        """The queries of some groups; all without any."""
        chosen = [number for number, group in enumerate(self.groups) if not groups or group in groups]
        ids, labels, scenes = (tuple(told[number] for number in chosen) for told in (self.ids, self.groups, self.scenes))
        return Standings(ids, labels, scenes, self.values[chosen], self.chance[chosen], self.candidates[chosen])

    def interval(self, values: NDArray[np.float64]) -> tuple[float, float]:
        """95 % interval of the mean of (Q,) values: percentiles over scenes drawn with all their queries."""
        _, scene = np.unique(self.scenes, return_inverse=True)
        rows = np.column_stack([np.bincount(scene, values), np.bincount(scene)]).astype(np.float64)
        return bootstrap(rows, weighted_ratio, sha256("\n".join(self.ids).encode()).hexdigest())


def rendering_hash(rendering: Rendering) -> str:
    """Identity of how sequences are written: the serializer and every setting of the renderer."""
    return sha256(json.dumps(asdict(rendering), sort_keys=True).encode()).hexdigest()


def rank(rows: Sequence[RankingRow], model: SequenceModel, cache: Path | None = None, data: str = "") -> Standings:
    """Rank the candidates of every row; each distinct sequence is encoded once per instruction.

    Args:
        rows: at least one.
        model: the model.
        cache: folder that keeps vectors. A file is named by the model, by how sequences are written, by `data` and by the sequences
            themselves; whatever of these changes, another file is read or made.
        data: fingerprint of the images that the rows name; needed with `cache`.

    Raises:
        DataError: there is no row, `cache` without `data`, an image that is given as pixels, vectors that are no unit vectors, or a
            damaged file in the cache.
    """
    if not rows:
        raise DataError("there is no row to rank")
    numbers: dict[tuple[str, str], int] = {}
    sequences: list[Segments] = []

    def number_of(sequence: Segments, instruction: str) -> int:
        key = (instruction, key_of(sequence))
        if key not in numbers:
            numbers[key] = len(sequences)
            sequences.append(sequence)
        return numbers[key]

    pairs = [(number_of(row.query, row.instruction), number_of(c, row.candidate_instruction)) for row in rows for c in row.candidates]
    vectors = _vectors(list(numbers), sequences, model, cache, data)
    scores = pair_scores((vectors, vectors), torch.tensor(pairs))
    return _standings(rows, scores)


def measures(standings: Standings, task: str, modality: str, prompts: str = "") -> list[Measure]:
    """Means of every metric over each group (`landmark_p1`) and over all queries (`p1`), with 95 % intervals."""
    names = list(dict.fromkeys(group for group in standings.groups if group))
    found = []
    for group in ([], *([name] for name in names)):
        part = standings.of(*group)
        for column, metric in enumerate(METRICS):
            values, chance = part.values[:, column], float(part.chance[:, column].mean())
            name = "_".join([*group, metric])
            spread = {"candidates": [int(part.candidates.min()), int(part.candidates.max())]}
            low, high = part.interval(values)
            found.append(Measure(task, name, modality, float(values.mean()), len(part), chance, low, high, prompts=prompts, details=spread))
    return found


def mean_of(runs: Sequence[Standings]) -> Standings:
    """The same queries under several seeds, averaged query by query.

    Raises:
        DataError: the runs are not of the same rows.
    """
    first = runs[0]
    _require_same_rows(runs)
    values = np.mean([run.values for run in runs], axis=0)
    return Standings(first.ids, first.groups, first.scenes, values, first.chance, first.candidates)


def lead(ours: Standings, other: Standings, metric: str = "p1") -> tuple[float, float, float]:
    """By how much `ours` is better on the same queries, and the ends of the 95 % interval of that, scenes drawn in pairs.

    Raises:
        DataError: they are not of the same rows.
    """
    _require_same_rows([ours, other])
    column = METRICS.index(metric)
    gaps = ours.values[:, column] - other.values[:, column]
    return (float(gaps.mean()), *ours.interval(gaps))


def _require_same_rows(runs: Sequence[Standings]) -> None:
    if any(run.ids != runs[0].ids for run in runs):
        raise DataError("only standings on the same rows can be compared; rank the same rows with every model")


def _vectors(keys: Sequence[tuple[str, str]], sequences: Sequence[Segments], model: SequenceModel, cache: Path | None, data: str) -> Tensor:
    """One row per sequence, from the cache if it holds them."""
    if cache is None:
        return _embed(keys, sequences, model)
    if not data:
        raise DataError("vectors are kept by the fingerprint of their data; give `data`, or no cache")
    told = json.dumps([model.sha256, model.prompts, data, list(keys)])
    path = cache / f"{sha256(told.encode()).hexdigest()[:32]}.npy"
    if not path.is_file():
        found = _embed(keys, sequences, model)
        with atomic_path(path) as part, part.open("wb") as file:
            np.save(file, found.numpy())
        return found
    try:
        return _checked(torch.from_numpy(np.load(path, allow_pickle=False)), len(keys), str(path))
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}); delete it, and the vectors are computed again") from None


def _embed(keys: Sequence[tuple[str, str]], sequences: Sequence[Segments], model: SequenceModel) -> Tensor:
    members: dict[str, list[int]] = {}
    for number, (instruction, _) in enumerate(keys):
        members.setdefault(instruction, []).append(number)
    parts = [
        _checked(model.embed([sequences[number] for number in own], instruction), len(own), model.name)
        for instruction, own in members.items()
    ]
    order = torch.tensor([number for own in members.values() for number in own])
    return torch.cat(parts)[order.argsort()]


def _checked(vectors: Tensor, count: int, where: str) -> Tensor:
    if vectors.dtype != torch.float32 or vectors.ndim != 2 or len(vectors) != count:
        raise DataError(f"{where}: {count} sequences need as many float32 vectors, got {tuple(vectors.shape)} in {vectors.dtype}")
    lengths = torch.linalg.vector_norm(vectors, dim=1)
    if not bool(((lengths - 1).abs() < 1e-3).all()):  # so written, NaN is found too
        raise DataError(f"{where}: vectors to rank must be unit vectors; normalise them, or look for NaN in the model")
    return vectors


def _standings(rows: Sequence[RankingRow], scores: Tensor) -> Standings:
    pools = torch.tensor([len(row.candidates) for row in rows])
    owner = torch.arange(len(rows)).repeat_interleave(pools)
    right = torch.zeros(len(scores), dtype=torch.bool)
    first = pools.cumsum(0) - pools
    right[torch.cat([first[number] + torch.tensor(row.relevant) for number, row in enumerate(rows)])] = True
    best = scores.new_full((len(rows),), -torch.inf).scatter_reduce(0, owner[right], scores[right], "amax")[owner]
    better, tied, true, relevant = (
        torch.bincount(owner[chosen], minlength=len(rows)) for chosen in (scores > best, scores == best, (scores == best) & right, right)
    )
    scenes = [next((key_of([part]) for part in row.query if isinstance(part, Image)), row.id) for row in rows]
    return Standings(
        tuple(row.id for row in rows), tuple(row.group for row in rows), tuple(scenes),
        _figures(better, tied, true), _figures(torch.zeros_like(better), pools, relevant), pools.numpy(),
    )  # fmt: skip


def _figures(better: Tensor, tied: Tensor, true: Tensor) -> NDArray[np.float64]:
    """(Q, 3), a column per `METRICS`; arguments as in `hit_chance`."""
    columns = [hit_chance(better, tied, true, 1), hit_chance(better, tied, true, 5), _reciprocal(better, tied, true)]
    return np.asarray(torch.stack(columns, dim=1).numpy())


def _reciprocal(better: Tensor, tied: Tensor, true: Tensor) -> Tensor:
    """Expectation of one over the rank of the first true candidate; seat by seat of the tie, one is true with m of what is left."""
    none_yet, found = torch.ones(len(better), dtype=torch.float64), torch.zeros(len(better), dtype=torch.float64)
    for seat in range(int(tied.max())):
        here = none_yet * true / (tied - seat).clamp(min=1)
        found += here / (better + seat + 1)
        none_yet -= here
    return found
