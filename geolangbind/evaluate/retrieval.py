"""Retrieval: the captions of an image, the images of a caption, and the same place in the pictures of another sensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import chain, combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolangbind.data.places import place_of
from geolangbind.errors import DataError
from geolangbind.evaluate.embedder import Embedder
from geolangbind.evaluate.encoded import Encoded
from geolangbind.evaluate.measure import Measure
from geolangbind.evaluate.top_k import Ranks, ranks_both_ways, top_k

_EXAMPLES, _SHOWN = 4, 5


@dataclass(frozen=True, eq=False)
class _Figure:
    """A weighted mean over queries before it is taken.

    Attributes:
        metric: its name.
        sums: (U,) weighted values by unit: the image or the place that the bootstrap draws.
        weights: (U,) of the unit's queries together, above 0.
        chance: the mean of a blind guess.
    """

    metric: str
    sums: NDArray[np.float64]
    weights: NDArray[np.float64]
    chance: float


def retrieval(
    embedder: Embedder,
    encoded: Encoded,
    *,
    prefix: str = "",
    each_sentence_once: bool = False,
    draws: int = 1000,
    seed: int = 0,
    batch_size: int = 256,
) -> list[Measure]:
    """Recall at 1, 5, 10 and 100 from images to texts and back, and the mean over 1, 5, 10 and both directions.

    Every caption of every image is a query; a hit for an image is any of its captions. The pool of texts holds each sentence once, and
    a sentence that several images have is true for all of them. Where sentences repeat, metrics that end in `_strict` ask for more:
    every caption is a candidate of its own, level with its copies at other images, and only the own one is true.

    Intervals draw images together with their captions, for captions of one image are no independent trials.

    Args:
        embedder: for the captions.
        encoded: images; those without captions are left out.
        prefix: put before every caption. SkyScript's protocol (arXiv 2312.12856) is "a satellite image. " and `each_sentence_once`.
        each_sentence_once: a sentence counts as one query, however many images have it; no strict figures.
        draws: of the bootstrap.
        seed: of the bootstrap.
        batch_size: sentences encoded at once.

    Raises:
        DataError: fewer than two images have captions.
        GeoLangBindError: the model has no text tower.
    """
    rows = [row for row, captions in enumerate(encoded.captions) if captions]
    if len(rows) < 2:
        raise DataError(f"retrieval needs two images with captions, but {len(rows)} of {len(encoded)} {encoded.modality} samples have any")
    rows.sort(key=lambda row: encoded.keys[row])  # the bootstrap draws by number: the order of the shards shall not move intervals
    given = [(image, caption) for image, row in enumerate(rows) for caption in encoded.captions[row]]
    numbers = {sentence: n for n, sentence in enumerate(dict.fromkeys(caption for _, caption in given))}
    meanings = [(image, numbers[caption]) for image, caption in given]
    owner, meant = torch.tensor(meanings).unbind(1)
    images, texts = encoded.vectors[rows], _encode_texts(embedder, [prefix + sentence for sentence in numbers], batch_size)
    common = {"task": "retrieval", "modality": encoded.modality, "sensors": " ".join(encoded.sensors), "bands": " ".join(encoded.bands)}
    common["prompts"] = sha256(prefix.encode()).hexdigest()[:12] if prefix else ""

    there, back = ranks_both_ways(images, texts, torch.tensor([*dict.fromkeys(meanings)]))
    weights = torch.bincount(meant).double().reciprocal()[meant] if each_sentence_once else torch.ones(len(meant))
    keys, sentences = [encoded.keys[row] for row in rows], list(numbers)
    examples = {
        "image_to_text_r1": _examples(images, texts, keys, sentences),
        "text_to_image_r1": _examples(texts, images, sentences, keys),
    }
    measures = _summarise(_text_figures(there, back.of(meant), owner, weights), draws, seed, common, examples)
    if len(numbers) < len(given) and not each_sentence_once:
        own = torch.stack([owner, torch.arange(len(owner))], dim=1)
        strict = _text_figures(*ranks_both_ways(images, texts[meant], own), owner, weights)
        measures += [replace(m, metric=f"{m.metric}_strict") for m in _summarise(strict, draws, seed, common)]
    return measures


def cross_sensor(encoded: Mapping[str, Encoded], *, draws: int = 1000, seed: int = 0) -> list[Measure]:
    """Find the pictures of the same place, for all ordered pairs of modalities: recall at 1, 5, 10 and the mean rank of the first true one.

    Queries and pool are the samples of the places that both modalities show. All samples of a place are true: it may have several
    dates, sensors or products. Intervals draw places.

    Args:
        encoded: by modality.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        DataError: no two modalities share two places.
    """
    measures: list[Measure] = []
    for one, other in combinations(encoded, 2):
        left, right = encoded[one], encoded[other]
        shared = sorted({*map(place_of, left.keys)} & {*map(place_of, right.keys)})
        if len(shared) < 2:
            continue
        (left_rows, left_places), (right_rows, right_places) = _at_places(left, shared), _at_places(right, shared)
        samples: list[list[int]] = [[] for _ in shared]
        for candidate, place in enumerate(right_places):
            samples[place].append(candidate)
        pairs = torch.tensor([(query, candidate) for query, place in enumerate(left_places) for candidate in samples[place]])
        there, back = ranks_both_ways(left.vectors[left_rows], right.vectors[right_rows], pairs)
        common = {name: " ".join(dict.fromkeys(getattr(left, name) + getattr(right, name))) for name in ("sensors", "bands")}
        for modality, found, places in ((f"{one}->{other}", there, left_places), (f"{other}->{one}", back, right_places)):
            told = {"task": "cross_sensor", "modality": modality, **common}
            measures += _summarise(_sensor_figures(found, torch.tensor(places)), draws, seed, told)
    if not measures:
        raise DataError(
            "no two places are seen by two modalities; samples of one place share their key behind the first '-' (rgb-01, sar-01)"
        )
    return measures


def _encode_texts(embedder: Embedder, sentences: Sequence[str], batch_size: int) -> Tensor:
    return torch.cat([embedder.texts(sentences[first : first + batch_size]) for first in range(0, len(sentences), batch_size)])


def _at_places(encoded: Encoded, shared: Sequence[str]) -> tuple[list[int], list[int]]:
    """Rows of the samples of some places, and the number of the place of each."""
    numbers = {place: number for number, place in enumerate(shared)}
    rows = [row for row, key in enumerate(encoded.keys) if place_of(key) in numbers]
    return rows, [numbers[place_of(encoded.keys[row])] for row in rows]


def _text_figures(there: Ranks, back: Ranks, owner: Tensor, weights: Tensor) -> list[_Figure]:
    """Recalls both ways. `back` has a query per caption, and `owner` its image."""
    images = torch.arange(len(there.better))
    figures = _recalls("image_to_text_r", (1, 5, 10, 100), there, images, torch.ones(len(images)))
    return figures + _recalls("text_to_image_r", (1, 5, 10, 100), back, owner, weights)


def _sensor_figures(found: Ranks, places: Tensor) -> list[_Figure]:
    weights = torch.ones(len(places))
    return [*_recalls("r", (1, 5, 10), found, places, weights), _figure("mean_rank", Ranks.positions, found, places, weights)]


def _recalls(name: str, counts: Sequence[int], found: Ranks, units: Tensor, weights: Tensor) -> list[_Figure]:
    return [_figure(f"{name}{k}", partial(Ranks.hits, k=k), found, units, weights) for k in counts]


def _figure(metric: str, value: Callable[[Ranks], Tensor], found: Ranks, units: Tensor, weights: Tensor) -> _Figure:
    total, own, blind = (
        torch.bincount(units, values.double()) for values in (weights, weights * value(found), weights * value(found.blind()))
    )
    return _Figure(metric, own.numpy(), total.numpy(), float(blind.sum() / total.sum()))


def _summarise(
    figures: Sequence[_Figure], draws: int, seed: int, common: Mapping[str, Any], details: Mapping[str, Any] | None = None
) -> list[Measure]:
    """Means with 95 % intervals: percentiles over units drawn with replacement, the same ones for all figures.

    Recalls of two directions (`..._r1`, `..._r5`, `..._r10`) get their mean as `mean_recall`.
    """
    sums, weights = (np.stack(parts, axis=1) for parts in ([f.sums for f in figures], [f.weights for f in figures]))
    rng = np.random.default_rng(seed)
    drawn = (np.bincount(rng.integers(0, len(sums), len(sums)), minlength=len(sums)) for _ in range(draws))
    # the first row is the figures themselves
    means = np.stack([(times @ sums) / (times @ weights) for times in chain([np.ones(len(sums))], drawn)])
    metrics, chance, trials = [f.metric for f in figures], [f.chance for f in figures], weights.sum(axis=0)
    if averaged := [n for n, metric in enumerate(metrics) if metric.endswith(("_r1", "_r5", "_r10"))]:
        means = np.column_stack([means, means[:, averaged].mean(axis=1)])
        metrics.append("mean_recall")
        chance.append(float(np.mean([chance[n] for n in averaged])))
        trials = np.append(trials, trials[averaged[0]] + trials[averaged[-1]])
    low, high = np.quantile(means[1:], (0.025, 0.975), axis=0).tolist()
    return [
        Measure(metric=metric, value=value, n=round(n), chance=blind, low=lo, high=hi, details=(details or {}).get(metric, {}), **common)
        for metric, value, n, blind, lo, hi in zip(metrics, means[0].tolist(), trials.tolist(), chance, low, high, strict=True)
    ]


def _examples(queries: Tensor, candidates: Tensor, names: Sequence[str], found: Sequence[str]) -> dict[str, Any]:
    """What a few queries, evenly spaced, find first, for the report."""
    rows = list(range(0, len(names), max(1, len(names) // _EXAMPLES)))[:_EXAMPLES]
    scores, numbers = top_k(queries[rows], candidates, _SHOWN)
    return {
        "examples": [
            {"query": names[row], "found": [found[n] for n in best], "scores": own}
            for row, best, own in zip(rows, numbers.tolist(), scores.tolist(), strict=True)
        ]
    }
