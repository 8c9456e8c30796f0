"""What a frozen model is worth on labelled shards: zero-shot, nearest neighbours, land cover of patches. Plain numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from geolangbind.data.batch import collate
from geolangbind.data.shards import ShardSet, Stream
from geolangbind.errors import DataError
from geolangbind.evaluate.metrics import top1, wilson_interval
from geolangbind.evaluate.overlap import Overlap
from geolangbind.evaluate.probes import logistic_scores, neighbour_votes
from geolangbind.evaluate.prompts import label_phrases
from geolangbind.evaluate.zero_shot import class_vectors
from geolangbind.model import GeoLangBind

Figure = dict[str, float | int]
"""`value` in [0, 1] and `n`; for shares of samples also `low` and `high` of the 95 % interval (patches of one scene are no trials)."""
Figures = dict[str, dict[str, Figure]]
"""Figures by metric and modality."""

_BATCH = 120


@dataclass(frozen=True)
class Encoded:
    """A modality's samples as a frozen model sees them.

    Attributes:
        vectors: (N, D) unit vectors.
        truth: (N,) int64 class numbers.
        patches: (P, D) patch tokens after the encoder's last norm, of all samples together; no rows without masks.
        cover: (P,) int64, the most frequent land cover among a patch's pixels, the lower number where two are even.
    """

    vectors: Tensor
    truth: Tensor
    patches: Tensor
    cover: Tensor


def measure(
    model: GeoLangBind,
    held_out: Path | str,
    bank: Path | str | None = None,
    *,
    label: str = "scene_class",
    scenes: int = 480,
    bank_scenes: int = 480,
    seed: int = 0,
    modalities: Sequence[str] = (),
) -> Figures:
    """Measure a model on held-out scenes.

    Args:
        model: in inference mode.
        held_out: shards with labels (and masks, for the probe).
        bank: training shards, for neighbours and probe; without them zero-shot only.
        label: which label is the truth.
        scenes: at most so many held-out samples per modality, the same ones for the same seed.
        bank_scenes: the same of the bank.
        seed: of both choices and of the patches that the probe learns from.
        modalities: empty for all that the held-out shards hold.

    Returns:
        `zero_shot` (top-1); with a bank `knn` (top-1 of 20 neighbours); where both have masks `mask_miou` and `mask_accuracy`.

    Raises:
        DataError: a folder lacks a modality or the labels.
    """
    queries, known = ShardSet.open(held_out), None if bank is None else ShardSet.open(bank)
    classes = label_phrases(queries, label)
    found: Figures = {"zero_shot": {}}
    for modality in dict.fromkeys(stream.modality for stream in queries.select(modalities or None)):
        asked = encode(model, queries.select([modality]), list(classes), label, scenes, seed)
        scores = (asked.vectors @ class_vectors(model, classes, modality).cpu().T).numpy()
        found["zero_shot"][modality] = _figure(top1(scores, asked.truth.numpy()), len(asked.truth))
        if known is None:
            continue
        learned = encode(model, known.select([modality]), list(classes), label, bank_scenes, seed)
        votes = neighbour_votes(learned.vectors, F.one_hot(learned.truth, len(classes)).bool(), asked.vectors)
        right = votes.argmax(1) == asked.truth
        found.setdefault("knn", {})[modality] = _figure(float(right.double().mean()), len(right))
        if len(learned.cover) and len(asked.cover):
            told = probe(learned.patches, learned.cover, asked.patches, seed=seed)
            overlap = Overlap.of(told.unsqueeze(0), asked.cover.unsqueeze(0), int(max(told.max(), asked.cover.max())) + 1)
            shares = {"mask_miou": overlap.mean_iou(), "mask_accuracy": float((told == asked.cover).double().mean())}
            for metric, share in shares.items():
                found.setdefault(metric, {})[modality] = {"value": share, "n": len(told)}
    return found


@torch.no_grad()
def encode(model: GeoLangBind, streams: Sequence[Stream], classes: Sequence[str], label: str, count: int, seed: int) -> Encoded:
    """Encode up to `count` samples of one modality's streams, drawn from all of them alike.

    Raises:
        DataError: a sample has no such label, or one that is no class.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    ends = np.cumsum([0, *(len(stream) for stream in streams)])
    drawn = np.sort(np.random.default_rng(seed).permutation(ends[-1])[:count])
    vectors: list[Tensor] = []
    truth: list[int] = []
    patches: list[Tensor] = []
    cover: list[Tensor] = []
    for stream, start, stop in zip(streams, ends[:-1], ends[1:], strict=True):
        mine = drawn[(drawn >= start) & (drawn < stop)] - start
        for first in range(0, len(mine), _BATCH):
            batch = collate(stream.read_many(mine[first : first + _BATCH]))
            image, _ = model.statistics.normalize(batch.image, batch.channels, batch.sensor, batch.bands, batch.valid)
            unit, output = model.towers.image_vectors(image, batch.channels, batch.valid)
            vectors.append(unit)
            if wrong := {str(name) for name in batch.labels.get(label, (None,))} - set(numbers):
                raise DataError(f"{stream.modality} samples have {label} {sorted(wrong)}, which is none of {', '.join(numbers)}")
            truth += [numbers[str(name)] for name in batch.labels[label]]
            if batch.masks is not None:
                patches.append(output.features.flatten(0, 1).float())
                cover.append(majority(batch.masks, model.vision.config.stride).flatten())
    none = torch.empty(0)
    return Encoded(torch.cat(vectors), torch.tensor(truth), torch.cat(patches or [none]), torch.cat(cover or [none.long()]))


def majority(masks: Tensor, stride: int) -> Tensor:
    """Most frequent class of each whole patch.

    Args:
        masks: (B, H, W) uint8 class numbers.
        stride: side of a patch in pixels.

    Returns:
        (B, N) int64 in the order of the encoder's tokens, row by row; the lower class where two are even.
    """
    rows, columns = (side // stride for side in masks.shape[1:])
    cut = masks[:, : rows * stride, : columns * stride].long()
    votes = F.one_hot(cut).reshape(len(masks), rows, stride, columns, stride, -1).sum((2, 4))
    return votes.argmax(-1).flatten(1)


def probe(
    patches: Tensor, cover: Tensor, queries: Tensor, *, seed: int = 0, most: int = 6000, decay: float = 1e-4, steps: int = 60
) -> Tensor:
    """Class of each query patch by multinomial logistic regression on frozen tokens.

    Args:
        patches: (P, D) tokens to learn from, standardised by their own mean and deviation.
        cover: (P,) int64 classes.
        queries: (Q, D).
        seed: which patches, if there are more than `most`.
        most: patches learned from.
        decay: weight of half the squared norm of the matrix, beside the mean cross-entropy.
        steps: iterations of L-BFGS from zero; the problem is convex, and the last iterations change hardly a class.
    """
    chosen = torch.from_numpy(np.random.default_rng(seed).permutation(len(patches))[:most])
    std, mean = torch.std_mean(patches[chosen], dim=0)
    known, asked = (((part - mean) / (std + 1e-6)).numpy() for part in (patches[chosen], queries))
    scores = logistic_scores(known, cover[chosen].numpy(), asked, int(cover.max()) + 1, c=1 / (decay * len(chosen)), steps=steps)
    return torch.from_numpy(scores.argmax(1))


def _figure(share: float, count: int) -> Figure:
    low, high = wilson_interval(share, count)
    return {"value": share, "low": low, "high": high, "n": count}
