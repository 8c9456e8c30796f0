"""Retrieval against loops over every query, with several captions, the same sentence twice, and several pictures of a place."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import comb, sqrt

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from geolangbind.errors import DataError
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.encoded import Encoded, encode_streams
from geolangbind.evaluate.retrieval import cross_sensor, retrieval


@dataclass
class Book:
    """An embedder that looks sentences up."""

    vectors: dict
    asked: list = field(default_factory=list)
    name: str = "book"
    sha256: str = "0"

    def texts(self, sentences: Sequence[str]) -> torch.Tensor:
        self.asked.append(len(sentences))
        return torch.stack([self.vectors[sentence] for sentence in sentences])


def unit(count, seed, width=12):
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def images(vectors, captions=None, keys=None, modality="rgb"):
    count = len(vectors)
    keys = keys or [f"{modality}-{n:03}" for n in range(count)]
    return Encoded(modality, ("a", "b"), ("red", "nir"), tuple(keys), vectors, ({},) * count, tuple(captions or [()] * count))


def values(measures):
    return {measure.metric: measure.value for measure in measures}


def made(count=30, sentences=50, seed=0):
    """Images with one to five captions, drawn from few sentences, one image without: many sentences have several images."""
    rng = np.random.default_rng(seed)
    told = [tuple(f"s{n}" for n in rng.choice(sentences, rng.integers(1, 6), replace=False)) for _ in range(count)]
    told[7] = ()
    return Book({f"s{n}": vector for n, vector in enumerate(unit(sentences, seed + 1))}), images(unit(count, seed + 2), told)


def first_hits(query, candidates, true, k):
    """Expected hit of one query by counting; ties in any order."""
    scores = (candidates.double() @ query.double()).round(decimals=9).tolist()
    best = max(scores[n] for n in true)
    better, tied = sum(s > best for s in scores), sum(s == best for s in scores)
    level, seats = sum(scores[n] == best for n in true), min(max(0, k - better), tied)
    return 1 - comb(tied - level, seats) / comb(tied, seats)


@pytest.mark.parametrize("each_sentence_once", [False, True])
def test_every_figure_by_loops(each_sentence_once):
    book, encoded = made()
    found = values(retrieval(book, encoded, each_sentence_once=each_sentence_once, draws=2, batch_size=7))
    assert max(book.asked) == 7  # and each sentence is encoded once
    told = [n for n, own in enumerate(encoded.captions) if own]
    given = [(n, caption) for n in told for caption in encoded.captions[n]]
    pool = sorted({caption for _, caption in given})
    assert sum(book.asked) == len(pool) < len(given)
    pool_vectors, image_vectors = torch.stack([book.vectors[s] for s in pool]), encoded.vectors[told]
    queries = pool if each_sentence_once else [caption for _, caption in given]
    for k in (1, 5, 10, 100):
        there = [first_hits(encoded.vectors[n], pool_vectors, [pool.index(s) for s in encoded.captions[n]], k) for n in told]
        back = [first_hits(book.vectors[s], image_vectors, [i for i, n in enumerate(told) if s in encoded.captions[n]], k) for s in queries]
        assert found[f"image_to_text_r{k}"] == pytest.approx(np.mean(there), abs=1e-9)
        assert found[f"text_to_image_r{k}"] == pytest.approx(np.mean(back), abs=1e-9)
    averaged = [found[f"{way}_r{k}"] for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)]
    assert found["mean_recall"] == pytest.approx(np.mean(averaged))
    assert ("mean_recall_strict" in found) != each_sentence_once
    if not each_sentence_once:
        copies = torch.stack([book.vectors[caption] for _, caption in given])
        for k in (1, 5):
            own = {n: [i for i, (image, _) in enumerate(given) if image == n] for n in told}
            there = [first_hits(encoded.vectors[n], copies, own[n], k) for n in told]
            back = [first_hits(book.vectors[s], image_vectors, [told.index(n)], k) for n, s in given]
            assert found[f"image_to_text_r{k}_strict"] == pytest.approx(np.mean(there), abs=1e-9)
            assert found[f"text_to_image_r{k}_strict"] == pytest.approx(np.mean(back), abs=1e-9)


def test_an_oracle_scores_one_and_shared_sentences_cost_it_only_the_strict_figures():
    vectors = torch.eye(4)
    book, captions = Book({"x": vectors[0], "y": vectors[1], "z": vectors[2]}), [("x",), ("x",), ("y",), ("z",)]
    found = retrieval(book, images(vectors[[0, 0, 1, 2]], captions), draws=9)
    assert {m.value for m in found if not m.metric.endswith("_strict")} == {1.0}
    assert all(m.low == m.high == 1.0 for m in found if not m.metric.endswith("_strict"))
    # two images share x: each finds its own copy first one time in two, and surely among the first five
    assert values(found)["image_to_text_r1_strict"] == values(found)["text_to_image_r1_strict"] == pytest.approx(0.75)
    assert values(found)["text_to_image_r5_strict"] == 1.0
    alone = retrieval(book, images(vectors[[0, 1, 2]], [("x",), ("y",), ("z",)]), draws=9)
    assert not any(m.metric.endswith("_strict") for m in alone)  # nothing repeats: they would be the same


@pytest.mark.parametrize("each_sentence_once", [False, True])
def test_a_constant_embedder_is_at_chance_everywhere(each_sentence_once):
    book, encoded = made()
    same = unit(1, 5)[0]
    constant = Book(dict.fromkeys(book.vectors, same))
    found = retrieval(constant, images(same.expand(30, -1), encoded.captions), each_sentence_once=each_sentence_once, draws=2)
    for measure in found:
        assert measure.value == pytest.approx(measure.chance, abs=1e-12)
    sentences = len({caption for own in encoded.captions for caption in own})
    expected = np.mean([len(own) / sentences for own in encoded.captions if own])
    assert values(found)["image_to_text_r1"] == pytest.approx(expected)
    places = {name: images(same.expand(30, -1), modality=name) for name in ("rgb", "sar")}
    for measure in cross_sensor(places, draws=2):
        assert measure.value == pytest.approx(measure.chance, abs=1e-12)


def test_order_and_batches_move_nothing():
    book, encoded = made()
    order = torch.randperm(30, generator=torch.Generator().manual_seed(4)).tolist()
    moved = images(encoded.vectors[order], [encoded.captions[n] for n in order], [encoded.keys[n] for n in order])
    first, second = retrieval(book, encoded, draws=20), retrieval(book, moved, draws=20, batch_size=3)
    assert first == second  # intervals and examples too
    other = images(unit(30, 9), modality="sar")
    assert cross_sensor({"rgb": encoded, "sar": other}, draws=20) == cross_sensor({"rgb": moved, "sar": other}, draws=20)
    assert first != retrieval(book, encoded, draws=20, seed=1)


def test_intervals_are_those_of_independent_images():
    count = 400
    vectors = F.normalize(unit(count, 0, 32) + 2 * unit(count, 1, 32), dim=1)
    texts = unit(count, 0, 32)
    captions = [(f"s{n}",) for n in range(count)]
    book = Book({f"s{n}": vector for n, vector in enumerate(texts)})
    once = next(m for m in retrieval(book, images(vectors, captions)) if m.metric == "text_to_image_r1")
    half = 1.96 * sqrt(once.value * (1 - once.value) / count)
    assert 0.1 < once.value < 0.9 and once.n == count
    assert (once.low, once.high) == pytest.approx((once.value - half, once.value + half), abs=0.15 * half)
    # four captions that say the same are no four trials
    book.vectors |= {f"s{n} {copy}": vector for n, vector in enumerate(texts) for copy in range(3)}
    more = [(f"s{n}", *(f"s{n} {copy}" for copy in range(3))) for n in range(count)]
    four = next(m for m in retrieval(book, images(vectors, more)) if m.metric == "text_to_image_r1")
    assert four.n == 4 * count and (four.value, four.low, four.high) == pytest.approx((once.value, once.low, once.high))


def test_the_prefix_is_put_before_and_told():
    vectors = torch.eye(2)
    book = Book({"a satellite image. x": vectors[0], "a satellite image. y": vectors[1], "x": vectors[1], "y": vectors[0]})
    encoded = images(vectors, [("x",), ("y",)])
    prefixed, plain = retrieval(book, encoded, prefix="a satellite image. ", draws=2), retrieval(book, encoded, draws=2)
    assert (values(prefixed)["image_to_text_r1"], values(plain)["image_to_text_r1"]) == (1.0, 0.0)
    assert len(prefixed[0].prompts) == 12 and plain[0].prompts == ""
    assert (plain[0].task, plain[0].modality, plain[0].sensors, plain[0].bands) == ("retrieval", "rgb", "a b", "red nir")
    first = prefixed[0].details["examples"][0]
    assert first == {"query": "rgb-000", "found": ["x", "y"], "scores": [1.0, 0.0]}


def test_cross_sensor_counts_every_picture_of_the_place():
    rng = np.random.default_rng(0)
    rgb_places, sar_places = rng.integers(0, 6, 20).tolist(), rng.integers(2, 9, 25).tolist()
    rgb = images(unit(20, 1), keys=[f"rgb{n}-{place}" for n, place in enumerate(rgb_places)])
    sar = images(unit(25, 2), keys=[f"sar{n}-{place}" for n, place in enumerate(sar_places)], modality="sar")
    found = {(m.modality, m.metric): m for m in cross_sensor({"rgb": rgb, "sar": sar}, draws=50)}
    assert list(found) == [(way, metric) for way in ("rgb->sar", "sar->rgb") for metric in ("r1", "r5", "r10", "mean_rank")]
    shared = {*rgb_places} & {*sar_places}
    for way, (left, left_places), (right, right_places) in (
        ("rgb->sar", (rgb, rgb_places), (sar, sar_places)),
        ("sar->rgb", (sar, sar_places), (rgb, rgb_places)),
    ):
        pool = [n for n, place in enumerate(right_places) if place in shared]
        ranks, chances = [], []
        for n, place in enumerate(left_places):
            if place in shared:
                order = (right.vectors[pool].double() @ left.vectors[n].double()).argsort(descending=True).tolist()
                true = [i for i, candidate in enumerate(pool) if right_places[candidate] == place]
                ranks.append(1 + min(order.index(i) for i in true))
                chances.append((len(pool) + 1) / (len(true) + 1))
        mean_rank = found[way, "mean_rank"]
        assert mean_rank.value == pytest.approx(np.mean(ranks)) and mean_rank.n == len(ranks)
        assert mean_rank.chance == pytest.approx(np.mean(chances)) and mean_rank.low < mean_rank.value < mean_rank.high
        for k in (1, 5, 10):
            assert found[way, f"r{k}"].value == pytest.approx(np.mean(np.array(ranks) <= k))


def test_what_cannot_be_asked_is_said():
    with pytest.raises(DataError, match="retrieval needs two images with captions, but 1 of 2 rgb samples"):
        retrieval(Book({"x": torch.eye(2)[0]}), images(torch.eye(2), [("x",), ()]))
    apart = {"rgb": images(torch.eye(2)), "sar": images(torch.eye(2), keys=["sar-8", "sar-9"])}
    with pytest.raises(DataError, match="no two places are seen by two modalities"):
        cross_sensor(apart)


def test_a_real_model_on_the_planet(model, streams):
    ours = Ours("tiny", "0", model)
    encoded = {name: encode_streams(ours, streams[name], 5) for name in ("rgb", "sar")}
    found = retrieval(ours, encoded["rgb"], draws=20)
    assert all(0 <= m.low <= m.value <= m.high <= 1 for m in found) and len(found) in (9, 18)
    assert {m.n for m in cross_sensor(encoded, draws=20)} == {12}
