"""Precision at 1 on held-out rows while a run goes on. It leaves no trace in the training."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from geolangbind.errors import DataError, GeoLangBindError
from geolangbind.instruct.reading import Reader, Written, WrittenRow
from geolangbind.instruct.settings import InterleavedSettings
from geolangbind.train.ema import averaged_weights
from geolangbind.train.validate import undisturbed

if TYPE_CHECKING:
    from lightning.fabric import Fabric


@dataclass(frozen=True)
class Held:
    """What to measure on.

    Attributes:
        reader: of the held-out rows.
        settings: of the run.
    """

    reader: Reader
    settings: InterleavedSettings

    def prepare(self) -> None:
        """Read and render what will be measured on, which is kept: what is wrong with it is better known before the training.

        Raises:
            DataError: a row or one of its images cannot be read, or a source holds rows to rank.
        """
        try:
            for name in self.reader.images.pairs.sources:
                self._rows(name)
        except GeoLangBindError as error:
            raise DataError(f"validation.pairs: {error}") from None

    def due(self, step: int) -> bool:
        """Whether to measure after `step` steps."""
        every = self.settings.validation.every
        return step == self.settings.steps or bool(every and step % every == 0)

    def measure(self, module: nn.Module, average: Mapping[str, Tensor], step: int, fabric: Fabric) -> list[dict[str, Any]]:
        """Measure on one process while the others wait.

        Returns:
            Rows of `validation.jsonl`, one per source; none on the other processes.
        """
        rows = []
        if fabric.is_global_zero:
            images = self.reader.images
            model = images.encoder.model
            with undisturbed(model, fabric.device), averaged_weights(average, module) if average else nullcontext():
                model.eval()
                rows = [
                    {"step": step, "averaged": bool(average), **self._measure_source(name, fabric)}
                    for name in self.reader.images.pairs.sources
                ]
        fabric.barrier()
        return rows

    def _measure_source(self, name: str, fabric: Fabric) -> dict[str, Any]:
        began, rows = time.perf_counter(), self._rows(name)
        count = len(rows)
        targets = {row.key: row.target for row in rows}
        keys = torch.tensor(list(targets))
        queries, candidates = (self._encode(some, fabric) for some in ([row.query for row in rows], list(targets.values())))
        found = keys[(queries @ candidates.T).argmax(1)].tolist()
        right = [answer in (row.key, *row.also) for row, answer in zip(rows, found, strict=True)]
        told = {"source": name, "n": count, "candidates": len(targets), "precision_1": sum(right) / count}
        return told | {"precision_1_chance": _chance(rows, set(targets)), "seconds": time.perf_counter() - began}

    def _rows(self, name: str) -> list[WrittenRow]:
        """Evenly spaced rows of a source, for they may be sorted."""
        size = len(self.reader.images.pairs.sources[name])
        count = min(size, self.settings.validation.samples)
        return self.reader.rows(name, np.arange(count, dtype=np.int64) * size // count)

    @torch.no_grad()
    def _encode(self, sequences: Sequence[Written], fabric: Fabric) -> Tensor:
        """(n, D) vectors on the CPU."""
        model, size = self.reader.images.encoder.model, self.settings.validation.batch_size
        device, vectors = next(model.parameters()).device, []
        for first in range(0, len(sequences), size):
            batch = sequences[first : first + size]
            parts, place = self.reader.layout(batch)
            with fabric.autocast():
                found = torch.cat([model(part.to(device)) for part in parts])
            vectors.append(found[[place[written] for written in batch]].float().cpu())
        return torch.cat(vectors)


def _chance(rows: Sequence[WrittenRow], candidates: set[int]) -> float:
    return sum(len(candidates & {row.key, *row.also}) for row in rows) / (len(candidates) * len(rows))
