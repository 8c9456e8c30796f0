"""Zero-shot classification of samples with several labels: average precision, and F1 by a threshold that nothing is tuned for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from geolangbind.errors import DataError, SettingsError
from geolangbind.evaluate.bootstrap import Statistic, bootstrap
from geolangbind.evaluate.embedder import Embedder
from geolangbind.evaluate.encoded import Encoded
from geolangbind.evaluate.measure import Measure
from geolangbind.evaluate.metrics import TIE
from geolangbind.evaluate.prompts import prompts_hash
from geolangbind.evaluate.zero_shot import class_scores

_Floats = NDArray[np.float64]
_Metric = Callable[..., _Floats]


def multi_label(
    embedder: Embedder,
    encoded: Encoded,
    classes: Mapping[str, Sequence[str]],
    label: str,
    templates: Sequence[str] = (),
    threshold: float = 1.0,
) -> list[Measure]:
    """Multi-label classification.

    A sample is given every class whose softmax probability is at least `threshold` over the number of classes: by default, every
    class that is no less likely than in a blind guess. Nothing is fitted to the test data, and an embedder that cannot tell classes apart
    names all of them, which is the chance level of F1.

    Args:
        embedder: for the sentences, and the scale of its logits.
        encoded: the samples; their label is a list of class names.
        classes: phrases by class name.
        label: which label of the samples is the truth.
        templates: with one `{}` each; the modality's own if empty.
        threshold: see above.

    Returns:
        `map_macro` (mean over classes that occur of the average precision of the cosine similarities), `map_micro`, `f1_macro`, `f1_micro`;
        with bootstrapped intervals, and average precision and F1 of each class in the details of the macro means.

    Raises:
        SettingsError: the threshold is not above 0.
        DataError: a sample has no such label, or one that is no class; or no sample has any class.
    """
    if not threshold > 0:
        raise SettingsError(f"multi_label: threshold must be above 0, got {threshold}")
    truth = true_sets(encoded, list(classes), label)
    scores = class_scores(embedder, encoded, classes, templates).astype(np.float64)
    given = named(scores, embedder.scale, threshold)
    occurs = np.flatnonzero(truth.any(axis=0))
    present, counts, share = [list(classes)[number] for number in occurs], truth.sum(axis=0)[occurs], np.array(truth.mean())
    measure = partial(
        Measure, "multi_label", modality=encoded.modality, n=len(truth), sensors=" ".join(encoded.sensors), bands=" ".join(encoded.bands),
        prompts=prompts_hash(classes, encoded.modality, templates),
    )  # fmt: skip
    found = []
    for kind, metric, left, blind in (("map", average_precision, scores, _precision), ("f1", f1_of, given, _f1)):
        by_class, rows = metric(left[:, occurs], truth[:, occurs]), np.hstack([left, truth])
        per_class = {name: {"value": float(v), "n": int(n)} for name, v, n in zip(present, by_class, counts, strict=True)}
        details = {"threshold": threshold / len(classes), "per_class": per_class}
        value, chance = float(by_class.mean()), float(blind(counts / len(truth)).mean())
        low, high = bootstrap(rows, macro(metric), encoded.revision)
        found.append(measure(f"{kind}_macro", value=value, chance=chance, low=low, high=high, details=details))
        value = float(metric(left.reshape(-1, 1), truth.reshape(-1, 1))[0])
        low, high = bootstrap(rows, _micro(metric), encoded.revision)
        found.append(measure(f"{kind}_micro", value=value, chance=float(blind(share)), low=low, high=high))
    return found


def true_sets(encoded: Encoded, classes: Sequence[str], label: str) -> _Floats:
    """True classes (N, K), 1 where a sample has the class.

    Raises:
        DataError: a sample's label is no list, or names something else; or no sample has any class.
    """
    truth = np.zeros((len(encoded), len(classes)))
    for number, row in enumerate(encoded.labels):
        told = row.get(label)
        where = f"{encoded.modality} sample {encoded.keys[number]}"
        if not isinstance(told, list | tuple):
            raise DataError(f"{where} has {label}={told!r}, no list of classes")
        if unknown := sorted(set(map(str, told)) - set(classes)):
            raise DataError(f"{where} has {label}={unknown[0]!r}, which is none of {', '.join(classes)}")
        truth[number, [classes.index(str(name)) for name in told]] = 1
    if not truth.any():
        raise DataError(f"no {encoded.modality} sample has a class under '{label}'")
    return truth


def named(scores: NDArray[np.floating], scale: float, threshold: float) -> _Floats:
    """Classes (N, K) that samples are given, 1 or 0; see `multi_label` for the rule."""
    probability = softmax(scale * scores.astype(np.float64), axis=1)
    # a class as likely as all others has one over K up to rounding
    return np.asarray(probability * scores.shape[1] >= threshold * (1 - scale * TIE), np.float64)


def average_precision(scores: _Floats, truth: _Floats, weights: _Floats | None = None) -> _Floats:
    """Average precision of each column: precision at each distinct score, weighted by the recall it adds; equal ones (`TIE`) are one step.

    Args:
        scores: (N, K).
        truth: (N, K), 1 or 0.
        weights: (R, N), how often each sample counts; once if None.

    Returns:
        (K,), or (R, K) with weights; NaN where a column has no positive.
    """
    drawn = np.ones((1, len(scores))) if weights is None else weights
    columns = []
    for own, right in zip(scores.T, truth.T, strict=True):
        order = np.argsort(-own, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(own[order]) < -TIE, True))
        ranked = drawn[:, order]
        positives, seen = (ranked * right[order]).cumsum(axis=1)[:, ends], ranked.cumsum(axis=1)[:, ends]
        gained = np.diff(positives, axis=1, prepend=0)
        with np.errstate(invalid="ignore"):
            columns.append((gained * positives / np.maximum(seen, 1)).sum(axis=1) / positives[:, -1])
    found = np.stack(columns, axis=1)
    return found[0] if weights is None else found


def f1_of(given: _Floats, truth: _Floats, weights: _Floats | None = None) -> _Floats:
    """F1 of each column, 2 TP / (2 TP + FP + FN); NaN where there is neither a truth nor a name given. Arguments as `average_precision`."""
    drawn = np.ones((1, len(given))) if weights is None else weights
    with np.errstate(invalid="ignore"):
        found = 2 * (drawn @ (given * truth)) / (drawn @ (given + truth))
    return np.asarray(found[0] if weights is None else found)


def _precision(prevalence: _Floats) -> _Floats:
    """Average precision where all samples score alike."""
    return prevalence


def _f1(prevalence: _Floats) -> _Floats:
    """F1 where every sample is given the class."""
    return 2 * prevalence / (1 + prevalence)


def macro(metric: _Metric) -> Statistic:
    """The bootstrap's statistic, a mean over classes; rows hold scores or classes given, then the truth. Classes not drawn do not count."""

    def statistic(weights: _Floats, rows: _Floats) -> _Floats:
        left, truth = np.hsplit(rows, 2)
        occurs = truth.any(axis=0)
        found = metric(left[:, occurs], truth[:, occurs], weights)
        with np.errstate(invalid="ignore"):  # no class is drawn where most samples have none
            return np.asarray(np.nansum(found, axis=1) / np.isfinite(found).sum(axis=1))

    return statistic


def _micro(metric: _Metric) -> Statistic:
    def statistic(weights: _Floats, rows: _Floats) -> _Floats:
        left, truth = np.hsplit(rows, 2)
        return metric(left.reshape(-1, 1), truth.reshape(-1, 1), np.repeat(weights, left.shape[1], axis=1))[:, 0]

    return statistic
