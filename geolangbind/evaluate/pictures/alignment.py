"""How image and text vectors of all modalities lie to each other: numbers, and pictures that those numbers explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from geolangbind.errors import DataError
from geolangbind.evaluate.embedder import Embedder
from geolangbind.evaluate.encoded import Encoded
from geolangbind.evaluate.pictures.album import COLOURS, MARKERS, keep, plain

NEIGHBOURS = 10
TEXT = "text"
Vectors = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cloud:
    """Vectors of one model.

    Attributes:
        model: its name.
        vectors: (N, D) unit vectors by modality; those of sentences under `text`.
        classes: class of each vector, by modality.
        places: place of each vector, by modality; empty where the data names none.
    """

    model: str
    vectors: Mapping[str, Vectors]
    classes: Mapping[str, tuple[str, ...]]
    places: Mapping[str, tuple[str, ...]]

    @property
    def images(self) -> tuple[str, ...]:
        """The modalities of images."""
        return tuple(name for name in self.vectors if name != TEXT)


@dataclass(frozen=True)
class Purity:
    """Share of neighbours from other modalities that show the same, and what a blind guess reaches."""

    value: float
    chance: float


def modality_gap(first: Vectors, second: Vectors) -> float:
    """Euclidean distance of the centroids of two sets of vectors, (N, D) and (M, D) (Liang et al. 2022, arXiv:2203.02053)."""
    return float(np.linalg.norm(first.mean(axis=0) - second.mean(axis=0)))


def neighbour_purity(queries: Vectors, names: Sequence[str], others: Vectors, other_names: Sequence[str], k: int) -> Purity:
    """Share of each query's k nearest other vectors that bear its name. Ties at the k-th place count in expectation.

    Args:
        queries: (N, D) unit vectors.
        names: of the queries.
        others: (M, D) unit vectors.
        other_names: of the others.
        k: neighbours looked at, at most M.
    """
    k = min(k, len(others))
    scores = (queries @ others.T).round(9)  # products of equal vectors may differ in their last bits
    same = np.asarray(names)[:, None] == np.asarray(other_names)[None, :]
    last = np.partition(scores, -k, axis=1)[:, [-k]]
    nearer, tied = scores > last, scores == last
    open_places = k - nearer.sum(axis=1)
    found = (same & nearer).sum(axis=1) + open_places * (same & tied).sum(axis=1) / tied.sum(axis=1)
    return Purity(float(found.mean() / k), float(same.mean()))


def gaps(cloud: Cloud) -> NDArray[np.float64]:
    """Modality gap of every pair, (M, M) in the order of `cloud.vectors`."""
    sets = list(cloud.vectors.values())
    return np.array([[modality_gap(a, b) for b in sets] for a in sets])


def purities(cloud: Cloud, names: Mapping[str, Sequence[str]], k: int) -> dict[str, Purity]:
    """Purity of each modality's images among the images of all others; `names` are classes or places.

    Empty where no names are known, and where there is one modality only.
    """
    found = {}
    for modality in cloud.images if names else ():
        rest = [other for other in cloud.images if other != modality]
        if rest:
            others = np.concatenate([cloud.vectors[other] for other in rest])
            other_names = [name for other in rest for name in names[other]]
            found[modality] = neighbour_purity(cloud.vectors[modality], names[modality], others, other_names, k)
    return found


def make_cloud(embedder: Embedder, encoded: Mapping[str, Encoded], label: str, place: str, count: int = 150) -> Cloud:
    """Choose vectors to draw: up to `count` of each modality, of the same places where places are known, and as many captions.

    Args:
        embedder: for the captions.
        encoded: by modality.
        label: which label is the class.
        place: which label names the place; samples without it have none.
        count: per modality.

    Raises:
        DataError: samples have no such class.
        GeoLangBindError: the model has no text tower.
    """
    known = all(place in row for samples in encoded.values() for row in samples.labels)
    shared = set.intersection(*({str(row[place]) for row in samples.labels} for samples in encoded.values())) if known else set()
    chosen = set(_spread(sorted(shared, key=lambda name: (len(name), name)), count))
    vectors, classes, places = {}, {}, {}
    sentences: dict[str, str] = {}
    for modality, samples in encoded.items():
        if lacking := [key for key, row in zip(samples.keys, samples.labels, strict=True) if row.get(label) is None]:
            raise DataError(f"{len(lacking)} {modality} samples have no label '{label}', first {lacking[0]}; name another label")
        every = [i for i, row in enumerate(samples.labels) if not chosen or str(row[place]) in chosen]
        every = _spread(every, count)
        vectors[modality] = samples.vectors[every].double().numpy()
        classes[modality] = tuple(str(samples.labels[i][label]) for i in every)
        places[modality] = tuple(str(samples.labels[i][place]) for i in every) if chosen else ()
        sentences |= {samples.captions[i][0]: classes[modality][j] for j, i in enumerate(every) if samples.captions[i]}
    texts = _spread(list(sentences), count)
    if texts:
        vectors[TEXT] = embedder.texts(texts).double().numpy()
        classes[TEXT] = tuple(sentences[text] for text in texts)
    return Cloud(Path(embedder.name).name, vectors, classes, places if chosen else {})


def _spread(values: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the values, evenly apart."""
    if len(values) <= count:
        return list(values)
    return [values[i] for i in np.linspace(0, len(values) - 1, count).round().astype(int)]


def draw_alignment(out: Path, clouds: Sequence[Cloud], seed: int = 0) -> Path:
    """Draw one or more models, the untrained first: t-SNE, PCA and the distances of centroids; beneath, neighbour purity."""
    figure: Any = Figure(figsize=(12, 3.9 * len(clouds) + 3), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[3.9 * len(clouds), 3])
    panels = above.subplots(len(clouds), 3, squeeze=False, width_ratios=[1, 1, 1.15])
    widest = max(float(gaps(cloud).max()) for cloud in clouds)
    for row, cloud in zip(panels, clouds, strict=True):
        _draw_points(row[0], cloud, _tsne(cloud, seed), f"{cloud.model}: t-SNE")
        _draw_points(row[1], cloud, _pca(cloud, seed), f"{cloud.model}: PCA")
        _draw_gaps(row[2], cloud, widest)
    handles, names = panels[0][0].get_legend_handles_labels()
    above.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=11, markerscale=1.6)
    left, right = below.subplots(1, 2, sharey=True)
    _draw_purity(left, clouds, [purities(cloud, cloud.classes, NEIGHBOURS) for cloud in clouds], f"{NEIGHBOURS} nearest", "class")
    one_each = len(clouds[0].images) - 1
    _draw_purity(right, clouds, [purities(cloud, cloud.places, one_each) for cloud in clouds], f"{one_each} nearest", "place")
    below.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(clouds) + 1, frameon=False, fontsize=11)
    count = len(next(iter(clouds[0].vectors.values())))
    caption = (
        f"{count} images of each modality and {len(clouds[0].vectors.get(TEXT, ()))} captions. A model that has aligned its sensors mixes "
        "the colours: images of one class lie together, whatever the sensor. Distance of centroids: 0 where two modalities lie on each "
        "other, 2 at most. Below: how many of an image's nearest neighbours among the images of all other modalities show the same; chance "
        "is what random vectors reach, 100 % what a perfect model reaches."
    )
    return keep(out, "alignment", figure, "alignment", f"Vectors by modality: {', '.join(cloud.model for cloud in clouds)}", caption)


def _stacked(cloud: Cloud) -> Vectors:
    return np.concatenate(list(cloud.vectors.values()))


def _pca(cloud: Cloud, seed: int) -> Vectors:
    return np.asarray(PCA(2, random_state=seed).fit_transform(_stacked(cloud)))


def _tsne(cloud: Cloud, seed: int) -> Vectors:
    vectors = _stacked(cloud)
    made = TSNE(2, init="pca", random_state=seed, perplexity=min(30.0, (len(vectors) - 1) / 3)).fit_transform(vectors)
    return np.asarray(made, dtype=np.float64)


def _draw_points(axes: Any, cloud: Cloud, points: Vectors, title: str) -> None:  # noqa: ANN401 - matplotlib is untyped
    begin = 0
    for modality, vectors in cloud.vectors.items():
        x, y = points[begin : begin + len(vectors)].T
        begin += len(vectors)
        colour = COLOURS.get(modality, "#999999")
        axes.scatter(x, y, s=16, color=colour, marker=MARKERS.get(modality, "o"), alpha=0.75, linewidths=0.8, label=_shown(modality))
    axes.set_title(plain(title), fontsize=12)
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_gaps(axes: Any, cloud: Cloud, widest: float) -> None:  # noqa: ANN401
    table, names = gaps(cloud), [_shown(name) for name in cloud.vectors]
    axes.imshow(table, cmap="cividis", vmin=0, vmax=widest)
    for (row, column), value in np.ndenumerate(table):
        if row != column:
            colour = "white" if value < widest / 2 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=10, color=colour)
    axes.set_xticks(range(len(names)), names, fontsize=10)
    axes.set_yticks(range(len(names)), names, fontsize=10)
    axes.set_title(plain(f"{cloud.model}: distance of centroids"), fontsize=12)


def _draw_purity(axes: Any, clouds: Sequence[Cloud], found: Sequence[Mapping[str, Purity]], nearest: str, same: str) -> None:  # noqa: ANN401
    names = list(found[0])
    if not names:
        axes.set_axis_off()
        return
    width = 0.8 / len(clouds)
    for number, (cloud, values) in enumerate(zip(clouds, found, strict=True)):
        places = np.arange(len(names)) + (number - (len(clouds) - 1) / 2) * width
        shade = "#0072B2" if number == len(clouds) - 1 else "#BBBBBB"
        bars = axes.bar(places, [100 * values[name].value for name in names], width * 0.92, color=shade, label=plain(cloud.model))
        axes.bar_label(bars, fmt="%.0f", fontsize=10)
    chances = [100 * found[0][name].chance for name in names]
    axes.hlines(chances, np.arange(len(names)) - 0.45, np.arange(len(names)) + 0.45, color="black", linestyle=":", label="chance")
    axes.set_xticks(range(len(names)), [_shown(name) for name in names], fontsize=11)
    axes.set_title(f"{nearest} from other modalities: same {same}", fontsize=12)
    axes.set_ylabel(f"% of the same {same}")
    axes.set_ylim(0, 105)
    axes.spines[["top", "right"]].set_visible(False)


def _shown(modality: str) -> str:
    return modality if modality == TEXT else modality.upper()
