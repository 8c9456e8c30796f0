"""Zero-shot accuracy and retrieval on a few held-out samples while a run goes on. It leaves no trace in the training."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from geolangbind.data.batch import Batch, collate
from geolangbind.data.shards import ShardSet, Stream
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.encoded import encode_batches
from geolangbind.evaluate.metrics import top1
from geolangbind.evaluate.prompts import label_phrases
from geolangbind.evaluate.top_k import ranks
from geolangbind.evaluate.zero_shot import class_vectors
from geolangbind.model import GeoLangBind
from geolangbind.train.ema import averaged_weights
from geolangbind.train.settings import TrainSettings

if TYPE_CHECKING:
    from lightning.fabric import Fabric


@dataclass(frozen=True)
class Validator:
    """What to measure on.

    Attributes:
        model: whose towers are trained.
        streams: of the run's modalities, in the validation shards.
        classes: phrases by class of `settings.label`; empty where the shards have no such label.
        settings: of the run.
    """

    model: GeoLangBind
    streams: Mapping[str, Sequence[Stream]]
    classes: Mapping[str, Sequence[str]]
    settings: TrainSettings

    def due(self, step: int) -> bool:
        """Whether to measure after `step` steps."""
        every = self.settings.validation.every
        return step == self.settings.steps or bool(every and step % every == 0)

    def measure(self, module: nn.Module, average: Mapping[str, Tensor], step: int, fabric: Fabric) -> list[dict[str, Any]]:
        """Measure on one process while the others wait.

        Args:
            module: what is trained, with the model's towers in it.
            average: running averages of weights, measured in their place, or empty.
            step: steps done.
            fabric: processes.

        Returns:
            Rows of `validation.jsonl`, one per modality; none on the other processes, nor where weights are spread over processes.
        """
        if any(isinstance(parameter, DTensor) for parameter in module.parameters()):
            if fabric.is_global_zero:
                warnings.warn("validation is skipped: the weights are spread over processes; evaluate the saved model", stacklevel=2)
            return []
        rows = []
        if fabric.is_global_zero:
            with undisturbed(self.model.towers, fabric.device), averaged_weights(average, module) if average else nullcontext():
                self.model.towers.eval()
                rows = [{"step": step, "averaged": bool(average), **self._measure_modality(modality)} for modality in self.streams]
        fabric.barrier()
        return rows

    def _measure_modality(self, modality: str) -> dict[str, Any]:
        began = time.perf_counter()
        vectors, labels, captions = [], list[object](), list[str | None]()
        for stream, wanted in sample_numbers(self.streams[modality], self.settings.validation.samples):
            found = encode_batches(Ours("", "", self.model), self._batches(stream, wanted))
            vectors.append(found.vectors)
            labels += [row.get(self.settings.label) for row in found.labels]
            captions += [own[0] if own else None for own in found.captions]
        row: dict[str, Any] = {"modality": modality, "sensors": sorted({stream.sensor for stream in self.streams[modality]})}
        row |= {"n": len(labels)} | self._classify(torch.cat(vectors), labels, modality) | self._retrieve(torch.cat(vectors), captions)
        return row | {"seconds": time.perf_counter() - began}

    def _classify(self, vectors: Tensor, labels: Sequence[object], modality: str) -> dict[str, float]:
        known = [number for number, value in enumerate(labels) if str(value) in self.classes]
        if not known:
            return {}
        scores: NDArray[np.float32] = (vectors[known] @ class_vectors(self.model, self.classes, modality).cpu().T).numpy()
        numbers = {name: number for number, name in enumerate(self.classes)}
        share = top1(scores, np.array([numbers[str(labels[number])] for number in known]))
        return {"zero_shot": share, "zero_shot_chance": 1 / len(numbers), "zero_shot_n": len(known)}

    def _retrieve(self, vectors: Tensor, captions: Sequence[str | None]) -> dict[str, float]:
        told = [number for number, caption in enumerate(captions) if caption is not None]
        candidates = sorted({caption for caption in captions if caption is not None})
        if len(candidates) < 2:
            return {}
        size, numbers = self.settings.validation.batch_size, {caption: number for number, caption in enumerate(candidates)}
        texts = torch.cat([self.model.encode_text(candidates[first : first + size]) for first in range(0, len(candidates), size)])
        pairs = torch.tensor([(query, numbers[str(captions[row])]) for query, row in enumerate(told)])
        found = ranks(vectors[told].cpu(), texts.cpu(), pairs)
        row = {"recall_1": float(found.hits(1).mean()), "recall_5": float(found.hits(5).mean()), "captions": len(candidates)}
        return row | {f"recall_{k}_chance": min(1.0, k / len(candidates)) for k in (1, 5)}

    def _batches(self, stream: Stream, wanted: NDArray[np.int64]) -> Iterator[Batch]:
        size = self.settings.validation.batch_size
        return (collate(stream.read_many(wanted[first : first + size])) for first in range(0, len(wanted), size))


def open_validator(settings: TrainSettings, model: GeoLangBind) -> Validator | None:
    """The validation that a run's settings ask for, or None.

    Raises:
        DataError: the validation shards hold none of the run's modalities.
    """
    if not settings.validation.data:
        return None
    shards = ShardSet.open(settings.validation.data)
    streams: dict[str, list[Stream]] = {}
    for stream in shards.select(modalities=settings.sensor_group.modalities):
        streams.setdefault(stream.modality, []).append(stream)
    first = next(iter(streams.values()))[0].read(0)
    listed = settings.label in first.meta.labels or settings.label in shards.index.provenance.get("classes", {})
    return Validator(model, streams, label_phrases(shards, settings.label) if listed else {}, settings)


def sample_numbers(streams: Sequence[Stream], most: int) -> Iterator[tuple[Stream, NDArray[np.int64]]]:
    """Up to `most` samples of several streams laid end to end, evenly spaced, for shards may be sorted; streams without one are skipped."""
    ends = np.cumsum([len(stream) for stream in streams])
    count = min(int(ends[-1]), most)
    numbers = np.arange(count, dtype=np.int64) * ends[-1] // count
    for stream, end in zip(streams, ends, strict=True):
        own = numbers[(numbers >= end - len(stream)) & (numbers < end)] - (end - len(stream))
        if len(own):
            yield stream, own


@contextmanager
def undisturbed(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Put back random numbers and the mode of every submodule afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        for part, mode in modes:
            part.training = mode
