"""What frozen vectors hold: nearest neighbours, logistic regression, few-shot curves; one label per image or several.

With one label the figure is top-1 accuracy (ties in expectation) with Wilson's interval; with several, mean average precision over the
classes that occur, with a bootstrap interval over images. Chance is what the bank's class frequencies alone reach, which is what a
constant encoder gets.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from geolangbind.errors import DataError, SettingsError
from geolangbind.evaluate.bootstrap import bootstrap
from geolangbind.evaluate.encoded import Encoded
from geolangbind.evaluate.measure import Measure
from geolangbind.evaluate.metrics import top1, wilson_interval
from geolangbind.evaluate.multi_label import average_precision, macro

Scores = NDArray[np.float64]

_SAME = 1e-9  # similarities and votes that differ by less are ties
_MOST_PAIRS = 2**24  # similarities held at once


def knn(encoded: Encoded, bank: Encoded, label: str, *, k: int = 20) -> list[Measure]:
    """Vote of the `k` nearest images of the bank by cosine, all votes alike; images tied for the last place share it.

    Args:
        encoded: images to tell.
        bank: labelled images of the same modality.
        label: which label is the truth; a list where images have several.
        k: neighbours; all of the bank if it holds fewer.

    Raises:
        DataError: an image lacks the label.
        SettingsError: `k` is below 1.
    """
    truth = _truth(encoded, bank, label)
    votes = neighbour_votes(bank.vectors, torch.from_numpy(truth.bank), encoded.vectors, k).numpy()
    return [_measure("knn", encoded, truth, votes, {"k": min(k, len(bank))})]


def linear_probe(
    encoded: Encoded, bank: Encoded, label: str, *, strengths: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0, 10.0), seed: int = 0
) -> list[Measure]:
    """Logistic regression on vectors standardised by the bank; multinomial, or one per class where images have several labels.

    scikit-learn's C is the strength that does best on a random fifth of the bank (the smallest of equals) after learning from the rest;
    then all of the bank is learned from. The images to tell play no part in the choice.

    Args:
        encoded: images to tell.
        bank: labelled images of the same modality.
        label: which label is the truth; a list where images have several.
        strengths: values of C to choose from.
        seed: of the fifth.

    Raises:
        DataError: an image lacks the label, or the bank holds fewer than five.
    """
    bank = bank.by_key()
    truth = _truth(encoded, bank, label)
    if len(bank) < 5:
        raise DataError(f"the bank holds {len(bank)} {bank.modality} images; a probe needs five, a fifth of which chooses its C")
    known, asked = _standardised(bank.vectors, bank.vectors, encoded.vectors)
    order = np.random.default_rng(seed).permutation(len(bank))
    held, kept = np.split(order, [len(bank) // 5])

    def on_held(strength: float) -> float:
        return truth.quality(truth.fit(known[kept], truth.bank[kept], known[held], strength), truth.bank[held])

    chosen = max(sorted(strengths), key=on_held)
    return [_measure("linear_probe", encoded, truth, truth.fit(known, truth.bank, asked, chosen), {"c": chosen})]


def few_shot(
    encoded: Encoded, bank: Encoded, label: str, *, shots: Sequence[int] = (1, 2, 5, 10, 20), draws: int = 5, seed: int = 0
) -> list[Measure]:
    """Logistic regression from a few labelled images per class: `top1_5_shots` and so on, the mean over several draws.

    Within a draw the images of fewer shots are among those of more. Vectors are standardised by all of the bank, whose other labels are
    not looked at; C is 1, for there is nothing to choose it on. The interval is Student's over the draws; the images to tell stay the
    same. Shots of which the rarest class of the bank has too few are left out.

    Raises:
        DataError: an image lacks the label.
        SettingsError: no draw, or no number of shots between one and what the rarest class has.
    """
    bank = bank.by_key()
    truth = _truth(encoded, bank, label)
    rarest = int(truth.bank.sum(0)[truth.bank.any(0)].min(initial=len(bank)))
    possible = [count for count in sorted(shots) if 1 <= count <= rarest]
    if not possible or draws < 1:
        raise SettingsError(f"few-shot with shots {list(shots)} and {draws} draws: the rarest class of the bank has {rarest} images")
    known, asked = _standardised(bank.vectors, bank.vectors, encoded.vectors)
    orders = [np.random.default_rng([seed, draw]).permutation(len(bank)) for draw in range(draws)]
    return [_few(encoded, truth, known, asked, [_first(truth.bank, order, count) for order in orders], count) for count in possible]


def neighbour_votes(bank: Tensor, truth: Tensor, queries: Tensor, k: int = 20) -> Tensor:
    """Share of each class among the `k` nearest by cosine, tied ones in expectation.

    Args:
        bank: (M, D) unit vectors.
        truth: (M, K) bool, classes of each.
        queries: (N, D) unit vectors.
        k: neighbours; all of the bank if it holds fewer.

    Returns:
        (N, K) float64.

    Raises:
        SettingsError: `k` is below 1.
    """
    if k < 1:
        raise SettingsError(f"k is {k}; at least one neighbour votes")
    k, rows = min(k, len(bank)), max(1, _MOST_PAIRS // len(bank))
    columns, classes, votes = bank.double().T, truth.double(), []
    for part in torch.split(queries.double(), rows):
        similar = part @ columns
        last = similar.topk(k, dim=1).values[:, -1:]
        nearer = similar > last + _SAME
        tied = ~nearer & (similar >= last - _SAME)
        share = (k - nearer.sum(1, keepdim=True)).double() / tied.sum(1, keepdim=True)
        votes.append((nearer + tied * share) @ classes / k)
    return torch.cat(votes).round(decimals=9)


def logistic_scores(
    features: NDArray[np.floating], labels: NDArray[np.integer], queries: NDArray[np.floating], count: int, *, c: float, steps: int = 300
) -> Scores:
    """Scores of `count` classes by scikit-learn's multinomial logistic regression; a class that was never seen stays behind all others.

    Args:
        features: (M, D), standardised.
        labels: (M,) class numbers.
        queries: (N, D), standardised alike.
        count: K.
        c: inverse of the weight of half the squared norm, beside the sum of the cross-entropies.
        steps: of L-BFGS from zero; the problem is convex, and the last iterations change hardly a class.

    Returns:
        (N, K) float64, the higher the likelier.
    """
    scores = np.full((len(queries), count), np.finfo(np.float64).min)
    seen = np.unique(labels)
    if len(seen) == 1:  # the solver wants two classes
        scores[:, seen[0]] = 0
        return scores
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # one shot each is meant
        found = LogisticRegression(C=c, max_iter=steps).fit(features, labels).decision_function(queries)
    scores[:, seen] = found if found.ndim == 2 else np.stack([-found, found], axis=1)
    return scores


@dataclass(frozen=True, eq=False)
class _Truth:
    """Classes of bank and of asked images, (M, K) and (N, K) bool."""

    classes: tuple[str, ...]
    bank: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    several: bool

    def quality(self, scores: Scores, truth: NDArray[np.bool_]) -> float:
        if not self.several:
            return top1(scores, truth.argmax(1))
        return float(np.mean(_precisions(scores, truth))) if truth.any() else 0.0

    def fit(self, known: Scores, truth: NDArray[np.bool_], asked: Scores, c: float) -> Scores:
        if not self.several:
            return logistic_scores(known, truth.argmax(1), asked, len(self.classes), c=c)
        binary = [logistic_scores(known, column.astype(np.int64), asked, 2, c=c)[:, 1] for column in truth.T]
        return np.stack(binary, axis=1)


def _truth(encoded: Encoded, bank: Encoded, label: str) -> _Truth:
    told = []
    for part in (bank, encoded):
        values = [row.get(label) for row in part.labels]
        if None in values or not values:
            where = f"sample {part.keys[values.index(None)]}" if values else "the set, which is empty,"
            raise DataError(f"{part.modality}: {where} has no label '{label}'; choose one that every sample has")
        told.append(values)
    several = any(isinstance(value, (list, tuple)) for values in told for value in values)
    sets = [[{str(name) for name in (value if isinstance(value, (list, tuple)) else (value,))} for value in values] for values in told]
    classes = tuple(sorted(set().union(*sets[0], *sets[1])))
    known, asked = (np.array([[name in row for name in classes] for row in rows], bool).reshape(len(rows), -1) for rows in sets)
    return _Truth(classes, known, asked, several)


def _measure(task: str, encoded: Encoded, truth: _Truth, scores: Scores, details: dict[str, object]) -> Measure:
    """Figure, interval and chance of scores (N, K)."""
    value = truth.quality(scores, truth.asked)
    if truth.several:
        low, high = bootstrap(np.hstack([scores, truth.asked]), macro(average_precision), encoded.revision)
        per_class = _precisions(scores, truth.asked).tolist()
    else:
        low, high = wilson_interval(value, len(encoded))
        per_class = [top1(scores[mine], truth.asked[mine].argmax(1)) for column in truth.asked.T if (mine := column).any()]
    present = [name for name, column in zip(truth.classes, truth.asked.T, strict=True) if column.any()]
    return Measure(
        task=task, metric="map" if truth.several else "top1", modality=encoded.modality, value=value, n=len(encoded),
        chance=_chance(truth, truth.bank), low=low, high=high, sensors=" ".join(encoded.sensors), bands=" ".join(encoded.bands),
        details={**details, "per_class": dict(zip(present, per_class, strict=True))},
    )  # fmt: skip


def _few(encoded: Encoded, truth: _Truth, known: Scores, asked: Scores, drawn: Sequence[NDArray[np.int64]], count: int) -> Measure:
    """Figure of one number of shots; `drawn` holds the samples of each draw."""
    found = [truth.quality(truth.fit(known[rows], truth.bank[rows], asked, 1.0), truth.asked) for rows in drawn]
    low = high = None
    if len(found) > 1:
        half = float(stats.t.ppf(0.975, len(found) - 1)) * float(np.std(found, ddof=1)) / len(found) ** 0.5
        low, high = max(0.0, float(np.mean(found)) - half), min(1.0, float(np.mean(found)) + half)
    return Measure(
        task="few_shot", metric=f"{'map' if truth.several else 'top1'}_{count}_shots", modality=encoded.modality,
        value=float(np.mean(found)), n=len(encoded), chance=float(np.mean([_chance(truth, truth.bank[rows]) for rows in drawn])), low=low,
        high=high, sensors=" ".join(encoded.sensors), bands=" ".join(encoded.bands), details={"shots": count, "draws": found},
    )  # fmt: skip


def _chance(truth: _Truth, learned: NDArray[np.bool_]) -> float:
    """What the class frequencies of the images learned from reach, told of every image."""
    return truth.quality(np.tile(learned.mean(0), (len(truth.asked), 1)), truth.asked)


def _first(truth: NDArray[np.bool_], order: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The first `count` samples of each class in an order; where samples have several classes they serve for all of them."""
    return np.unique(np.concatenate([order[truth[order, number]][:count] for number in range(truth.shape[1])]))


def _standardised(by: Tensor, *parts: Tensor) -> tuple[Scores, ...]:
    std, mean = torch.std_mean(by.double(), dim=0)
    return tuple(((part.double() - mean) / (std + 1e-6)).numpy() for part in parts)


def _precisions(scores: Scores, truth: NDArray[np.bool_]) -> Scores:
    """Average precision of each class that occurs."""
    occurs = truth.any(0)
    return average_precision(scores[:, occurs], truth[:, occurs].astype(np.float64))
