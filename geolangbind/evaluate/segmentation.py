"""Segmentation on frozen features: a head learns on a bank of shards with masks and is scored pixel by pixel on others.

Features are computed batch by batch; as many as fit into a stated memory are kept for the next pass, the others computed again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from geolangbind.data.batch import Batch, collate
from geolangbind.data.loader import iterate_all
from geolangbind.data.order import MixtureOrder
from geolangbind.data.shards import ShardSet, Stream
from geolangbind.errors import DataError, SettingsError
from geolangbind.evaluate.embedder import Embedder, Patches
from geolangbind.evaluate.heads import LinearHead, UPerHead, to_pixels
from geolangbind.evaluate.measure import Measure
from geolangbind.evaluate.overlap import UNLABELLED, Overlap
from geolangbind.planet.materials import MASK_CLASSES

_WARM_UP = 0.05
_DECAY = 1e-4
_LOOKED_AT = 8  # batches that say how large features are


@dataclass(frozen=True)
class HeadSettings:
    """A head and how it learns: AdamW, 5 % of the steps warming up, then a cosine to zero; cross-entropy of every labelled pixel.

    Attributes:
        kind: "linear" (1x1 on the last layer) or "upernet" (on four layers where the model gives them, else on the last).
        width: channels of the UPerNet-style head.
        steps: of the optimiser.
        batch_size: images per step.
        learning_rate: the highest; None for 0.01 (linear) or 0.001 (upernet).
        seed: of the first weights and the order of the images.
        memory_bytes: of features kept for the next pass.
        device: where the head learns; on a GPU, bilinear resizing adds up in no fixed order, and the last digits vary.
    """

    kind: Literal["linear", "upernet"] = "linear"
    width: int = 512
    steps: int = 1000
    batch_size: int = 16
    learning_rate: float | None = None
    seed: int = 0
    memory_bytes: int = 2**30
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "upernet"):
            raise SettingsError(f"a segmentation head is linear or upernet, not {self.kind!r}")
        if min(self.width, self.steps, self.batch_size) < 1 or self.highest_rate <= 0 or self.memory_bytes < 0:
            raise SettingsError(f"width, steps, batch_size and learning_rate of a segmentation head must be above 0, got {self}")

    @property
    def highest_rate(self) -> float:
        """The learning rate after warming up."""
        return (1e-2 if self.kind == "linear" else 1e-3) if self.learning_rate is None else self.learning_rate


def segmentation(
    embedder: Embedder, streams: Sequence[Stream], bank: Sequence[Stream], classes: Mapping[int, str], head: HeadSettings | None = None
) -> list[Measure]:
    """Train a head on the bank's masks and measure it on others.

    Args:
        embedder: frozen.
        streams: of one modality, with masks, to be told.
        bank: of the same modality, with masks, to learn from.
        classes: name by mask value, see `mask_classes`; pixels of any other value, or without data, count nowhere.
        head: settings; None for a linear head's.

    Returns:
        `linear_miou` (with the IoU of each class in the details), `linear_miou_all_classes` and `linear_accuracy`; or `upernet_...`.

    Raises:
        DataError: no masks, no labelled pixel, or several modalities.
        GeoLangBindError: the model cannot see these images or has no patches.
    """
    head = head or HeadSettings()
    if len({stream.modality for stream in (*streams, *bank)}) != 1:
        raise DataError(f"a head learns and tells one modality, got {[stream.modality for stream in (*bank, *streams)]}")
    trained = _train(embedder, bank, class_numbers(classes), len(classes), head)
    parts = []
    for batch, truth in labelled(streams, classes, head.batch_size):
        with torch.no_grad():
            logits = trained.logits(embedder.patches(batch), truth.shape[1:])
        parts.append(Overlap.of(logits.argmax(1).cpu(), truth, len(classes)))
    details = {"layers": trained.layers, "steps": head.steps, "learned_from": sum(map(len, bank))}
    return Overlap.join(parts).measures("segmentation", f"{head.kind}_", classes.values(), told_of(streams), details)


def mask_classes(shards: ShardSet) -> dict[int, str]:
    """Names of mask values, in the order of the values: the card's, which the shards' provenance tells, or the planet's.

    Raises:
        DataError: the shards name no classes of their masks.
    """
    provenance = shards.index.provenance
    if listed := provenance.get("mask_classes"):
        return {int(value): str(listed[value]) for value in sorted(listed, key=int)}
    if "planet_version" in provenance:
        return dict(enumerate(MASK_CLASSES))
    raise DataError(f"{shards.folder} does not say what its masks mean; build it from a card with mask_classes")


def class_numbers(classes: Mapping[int, str]) -> Tensor:
    """Class number, 0 to K - 1 in the order of `classes`, by mask value (256,) uint8; `UNLABELLED` for all other values."""
    numbers = torch.full((256,), UNLABELLED, dtype=torch.uint8)
    numbers[list(classes)] = torch.arange(len(classes), dtype=torch.uint8)
    return numbers


def labelled(streams: Sequence[Stream], classes: Mapping[int, str], batch_size: int) -> Iterator[tuple[Batch, Tensor]]:
    """Yield every batch of the streams with its true class numbers (B, H, W) uint8.

    Raises:
        DataError: a stream has no masks, or no pixel of all of them has a class.
    """
    numbers, any_label = class_numbers(classes), False
    for stream in streams:
        for batch in iterate_all(stream, batch_size):
            truth = _truth(batch, numbers)
            any_label = any_label or bool((truth != UNLABELLED).any())
            yield batch, truth
    if not any_label:
        raise DataError(f"no pixel of {len(streams)} streams has one of the mask values {list(classes)}; see what their masks hold")


def told_of(streams: Sequence[Stream]) -> dict[str, str]:
    """Modality, sensors and bands of streams, as measures have them."""
    sensors = dict.fromkeys(stream.sensor for stream in streams)
    bands = dict.fromkeys(band for stream in streams for band in stream.bands)
    return {"modality": streams[0].modality, "sensors": " ".join(sensors), "bands": " ".join(bands)}


@dataclass(frozen=True, eq=False)
class _Trained:
    head: nn.Module
    mean: Tensor
    std: Tensor
    layers: int

    def logits(self, patches: Patches, shape: Sequence[int]) -> Tensor:
        """Logits (B, K, H, W) at the pixels of images of `shape`."""
        maps = [
            ((tokens.to(self.mean.device) - self.mean[number]) / self.std[number]).mT.reshape(len(tokens), -1, *patches.grid)
            for number, tokens in enumerate(_layers(patches, self.layers))
        ]
        return to_pixels(self.head(maps), patches.grid, patches.stride, (shape[0], shape[1]))


def _train(embedder: Embedder, bank: Sequence[Stream], numbers: Tensor, classes: int, settings: HeadSettings) -> _Trained:
    sizes = [len(stream) for stream in bank]
    order = MixtureOrder(sizes, sizes, settings.batch_size, settings.seed)
    source = _Source(embedder, bank, numbers, settings.memory_bytes)
    first = [source.read(*order.batch(step))[0] for step in range(min(_LOOKED_AT, settings.steps))]
    layers = 1 + len(first[0].earlier) if settings.kind == "upernet" else 1
    width = first[0].features.shape[2]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        head = LinearHead(width, classes) if settings.kind == "linear" else UPerHead(width, classes, settings.width)
    std, mean = _spread(first, layers)
    trained = _Trained(head.to(settings.device), mean.to(settings.device), std.to(settings.device), layers)
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.highest_rate, weight_decay=_DECAY)
    learned = False
    for step in range(settings.steps):
        patches, truth = source.read(*order.batch(step))
        if not bool((truth != UNLABELLED).any()):
            continue
        learned = True
        for group in optimizer.param_groups:
            group["lr"] = settings.highest_rate * _rate(step / settings.steps)
        logits = trained.logits(patches, truth.shape[1:])
        loss = F.cross_entropy(logits, truth.to(logits.device).long(), ignore_index=UNLABELLED)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    if not learned:
        raise DataError(f"no pixel in {settings.steps} batches of the bank has one of the classes; see what its masks hold")
    return trained


def _rate(done: float) -> float:
    return min(done / _WARM_UP + 0.1, 1.0) * 0.5 * (1 + math.cos(math.pi * done))


def _spread(seen: Sequence[Patches], layers: int) -> tuple[Tensor, Tensor]:
    """Deviation and mean (layers, 1, D) of features; a channel that hardly moved here may elsewhere, and is not blown up."""
    tokens = [
        torch.cat(layer) for layer in zip(*([part.flatten(0, 1) for part in _layers(patches, layers)] for patches in seen), strict=True)
    ]
    std, mean = torch.std_mean(torch.stack(tokens), dim=1, keepdim=True)
    return torch.maximum(std, 0.1 * std.mean(2, keepdim=True)) + 1e-6, mean


def _layers(patches: Patches, count: int) -> tuple[Tensor, ...]:
    return (*patches.earlier, patches.features)[-count:]


def _truth(batch: Batch, numbers: Tensor) -> Tensor:
    if batch.masks is None:
        raise DataError(f"{batch.modality} sample {batch.keys[0]} ({batch.sensor}) has no mask; segmentation needs shards with masks")
    truth = numbers[batch.masks.long()]
    return truth if batch.valid is None else torch.where(batch.valid, truth, UNLABELLED)


@dataclass(eq=False)
class _Source:
    """Features and true classes of samples of the bank; keeps those that fit into the memory."""

    embedder: Embedder
    streams: Sequence[Stream]
    numbers: Tensor
    memory_bytes: int
    kept: dict[tuple[int, int], tuple[Patches, Tensor]] = field(default_factory=dict)

    @torch.no_grad()
    def read(self, stream: int, samples: NDArray[np.int64]) -> tuple[Patches, Tensor]:
        """Return features of samples of one stream and their true classes (B, H, W)."""
        missing = [number for number in dict.fromkeys(samples.tolist()) if (stream, number) not in self.kept]
        found = {number: self.kept[stream, number] for number in samples.tolist() if (stream, number) in self.kept}
        if missing:
            batch = collate(self.streams[stream].read_many(missing))
            truth, patches = _truth(batch, self.numbers), self.embedder.patches(batch)
            for row, number in enumerate(missing):
                found[number] = one = _one(patches, row), truth[row].clone()
                size = sum(tensor.nbytes for tensor in (one[0].features, *one[0].earlier, one[1]))
                if size <= self.memory_bytes:
                    self.kept[stream, number] = one
                    self.memory_bytes -= size
        rows = [found[number] for number in samples.tolist()]
        first = rows[0][0]
        features = torch.cat([patches.features for patches, _ in rows])
        earlier = tuple(torch.cat(layer) for layer in zip(*(patches.earlier for patches, _ in rows), strict=True))
        return Patches(features, first.grid, None, earlier, first.stride), torch.stack([truth for _, truth in rows])


def _one(patches: Patches, row: int) -> Patches:
    """A single image's patches, in memory of their own."""
    own = slice(row, row + 1)
    earlier = tuple(layer[own].clone() for layer in patches.earlier)
    return Patches(patches.features[own].clone(), patches.grid, None, earlier, patches.stride)
