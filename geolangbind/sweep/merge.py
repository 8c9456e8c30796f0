"""Merging in memory: parents are read once, and any number of merges are copied into one model. Bit for bit what merge-weights writes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from geolangbind import checkpoint
from geolangbind.errors import CheckpointError
from geolangbind.model import GeoLangBind, load_folder
from geolangbind.statistics import Statistics
from merge_weights.arithmetic import merge_tensor
from merge_weights.chain import HEADS_PREFIX, Step, part_of
from merge_weights.config import read_tokenizer, unite
from merge_weights.errors import MergeError
from merge_weights.inputs import open_sources

_TEXT = "text."


@dataclass(frozen=True, eq=False)
class Parents:
    """Models to merge, in memory.

    Attributes:
        paths: as given, by role.
        sha256: of the weights, by role.
        model: what merges are copied into; it has the united statistics, and at first the first parent's weights.
        differing: the tensors that are not the same in all parents, as stored, one per parent in the order of `paths`.
    """

    paths: Mapping[str, str]
    sha256: Mapping[str, str]
    model: GeoLangBind
    differing: Mapping[str, tuple[Tensor, ...]]

    @property
    def same_text(self) -> bool:
        """Whether all parents, and so all their merges, have one text tower."""
        return not any(name.startswith(_TEXT) for name in self.differing)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the model that differ, see `merge_weights.chain.PARTS`."""
        return tuple(sorted({part_of(name) for name in self.differing}))


def read_parents(paths: Mapping[str, str | Path]) -> Parents:
    """Read models that are to be merged.

    Args:
        paths: model or run folders by role, the first one the base.

    Raises:
        CheckpointError: not at least two model folders of one architecture, channel code, tokenizer and tensors, or their statistics
            contradict each other.
    """
    if len(paths) < 2:
        raise CheckpointError(f"a merge needs at least two models, got {', '.join(map(str, paths.values())) or 'none'}")
    folders = {role: checkpoint.find_model(path) for role, path in paths.items()}
    base, *others = folders
    with merge_errors():
        sources = open_sources(folders[base], [Step(role, folders[role], 0.0) for role in others])
        config = unite(sources)
        read_tokenizer(sources)
    weights = [_without_heads(checkpoint.read_tensors(folder)) for folder in folders.values()]
    for role, tensors in zip(others, weights[1:], strict=True):
        if table := checkpoint.mismatch_table(weights[0], tensors):
            raise CheckpointError(f"{role} ({paths[role]}) does not fit {base} ({paths[base]}; under 'model'), {table}")
    model = replace(
        load_folder(folders[base]),
        statistics=Statistics.from_json(config["statistics"]),
        gsd_m=tuple(config["preprocessing"]["gsd_m"]),
        trained_sensors=tuple(config["trained_sensors"]),
        heads={},
    )
    differing = {
        name: (tensor, *(tensors[name] for tensors in weights[1:]))
        for name, tensor in weights[0].items()
        if not all(torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype for tensors in weights[1:])
    }
    sha256 = [_sha256([path for path, _ in source.weights.parts]) for source in sources]
    return Parents({role: str(path) for role, path in paths.items()}, dict(zip(paths, sha256, strict=True)), model, differing)


def _sha256(files: Sequence[Path]) -> str:
    """Hex SHA-256 of a weights file, or of its shards one after another."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _without_heads(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(HEADS_PREFIX)}


def merged_tensors(
    parents: Parents, coefficients: Mapping[str, Sequence[float]], chosen: Sequence[int] | None = None
) -> Iterator[tuple[str, Tensor]]:
    """Merge, one tensor at a time, all that differs between the parents.

    Args:
        parents: the models.
        coefficients: by part of the model, one for each parent of the chain after its first.
        chosen: which parents form the chain, in order; by default all.

    Yields:
        Name and merged tensor, in the stored dtype: theta_i = theta_(i-1) + m_i (parent_i - theta_(i-1)) in float64, rounded once.

    Raises:
        CheckpointError: a tensor holds NaN or Inf, or numbers that cannot be averaged.
    """
    for name, stored in parents.differing.items():
        first, *others = stored if chosen is None else (stored[number] for number in chosen)
        yield name, _merge(name, first, others, coefficients[part_of(name)])


def _merge(name: str, base: Tensor, others: Sequence[Tensor], coefficients: Sequence[float]) -> Tensor:
    bf16 = base.dtype == torch.bfloat16
    arrays = [(tensor.view(torch.uint16) if bf16 else tensor).numpy() for tensor in (base, *others)]
    with merge_errors(name):
        merged = torch.from_numpy(merge_tensor(arrays[0], arrays[1:], coefficients, bf16_bits=bf16))
    return merged.view(torch.bfloat16) if bf16 else merged


@torch.no_grad()
def put(parents: Parents, tensors: Iterator[tuple[str, Tensor]]) -> None:
    """Copy merged tensors into the parents' model."""
    places = parents.model.towers.state_dict()
    for name, tensor in tensors:
        places[name].copy_(tensor)


@contextmanager
def merge_errors(where: str | None = None) -> Iterator[None]:
    """Give the tool's failures our class, so that commands print them as one line."""
    try:
        yield
    except MergeError as error:
        raise CheckpointError(f"{where}: {error}" if where else str(error)) from None
