"""Ranking: traps first (a constant model, an oracle), then values worked out by hand, then what is kept and for whom."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from geolangbind.errors import DataError
from geolangbind.instruct.ranking import SequenceModel, lead, mean_of, measures, rank, rendering_hash
from geolangbind.instruct.rows import RankingRow, StoredImage
from geolangbind.interleaved.render import Rendering
from geolangbind.interleaved.segments import Image, Text


def scene(number):
    return Image(StoredImage("planet", f"rgb-0-{number}"))


def text(word):
    return (Text(word),)


def make_rows(queries=12, candidates=7, right=1):
    """Row q asks image q // 2 for `word q` among others; right ones come last, where no order favours them."""
    return [
        RankingRow(
            f"r{q}", "find", (scene(q // 2), Text(f"word {q}")),
            tuple(text(f"other {q} {c}") for c in range(candidates - right)) + tuple(text(f"word {q}") for _ in range(right)),
            tuple(range(candidates - right, candidates)), group=("even", "odd")[q % 2],
        )
        for q in range(queries)
    ]  # fmt: skip


def model_of(vector, name="m", sha="a", prompts="p"):
    """A model whose vectors are a function of the words of a sequence; it counts what it is asked."""
    asked = []

    def embed(sequences, instruction):
        asked.extend((instruction, sequence[-1].text) for sequence in sequences)
        return F.normalize(torch.stack([vector(sequence[-1].text) for sequence in sequences]), dim=1)

    return SequenceModel(name, sha, prompts, embed), asked


def oracle(word):
    generator = torch.Generator().manual_seed(sum(map(ord, word)) * 31 + len(word))
    return torch.randn(64, generator=generator)


@pytest.mark.parametrize("right", [1, 3])
def test_a_constant_model_scores_chance_whatever_the_sizes_and_an_oracle_scores_one(right):
    rows = make_rows(4, 7, right) + make_rows(6, 19, right)
    constant, _ = model_of(lambda word: torch.tensor([0.1, 0.7, -0.3]))
    found = rank(rows, constant)
    np.testing.assert_allclose(found.values, found.chance, atol=1e-12)
    assert found.values[0, 0] == pytest.approx(right / 7)
    assert found.values[-1, 0] == pytest.approx(right / 19)
    np.testing.assert_array_equal(rank(rows, model_of(oracle)[0]).values, 1)


def test_figures_equal_the_mean_over_all_orders_of_a_tie():
    scores = [0.9, 0.5, 0.5, 0.5, 0.5, 0.2]  # one better, four tied of which two are right
    relevant = (2, 4, 5)
    table = {f"c{number}": torch.tensor([score, (1 - score**2) ** 0.5]) for number, score in enumerate(scores)}
    row = RankingRow("r", "", text("query"), tuple(map(text, table)), relevant)
    found = rank([row], model_of({**table, "query": torch.tensor([1.0, 0])}.__getitem__)[0])
    firsts = []
    for order in permutations((1, 2, 3, 4)):
        ranking = (0, *order, 5)
        firsts.append(min(ranking.index(number) for number in relevant) + 1)
    expected = [np.mean([first <= k for first in firsts]) for k in (1, 5)] + [float(np.mean([Fraction(1, first) for first in firsts]))]
    np.testing.assert_allclose(found.values[0], expected, atol=1e-12)


def test_each_sequence_is_encoded_once_per_instruction():
    rows = [
        RankingRow("a", "find", text("one"), (text("two"), text("three")), (0,)),
        RankingRow("b", "find", text("one"), (text("three"), text("two")), (1,)),
        RankingRow("c", "name", text("one"), (text("two"), text("one")), (0,), candidate_instruction="name"),
    ]
    model, asked = model_of(oracle)
    rank(rows, model)
    assert sorted(asked) == [("", "three"), ("", "two"), ("find", "one"), ("name", "one"), ("name", "two")]


def test_kept_vectors_serve_one_model_one_way_of_writing_and_one_data_set(tmp_path):
    rows = make_rows(2)

    def asked_with(rows=rows, data="d", **told):
        model, asked = model_of(oracle, **told)
        found = rank(rows, model, tmp_path, data)
        np.testing.assert_array_equal(found.values, 1)
        return len(asked)

    full = asked_with()
    assert full > 0
    assert asked_with() == 0
    assert asked_with(name="other") == 0  # a name is no identity
    assert asked_with(sha="b") == full
    assert asked_with(prompts="q") == full
    assert asked_with(data="e") == full
    assert asked_with(rows=rows[:1]) == full / 2
    assert asked_with() == 0
    with pytest.raises(DataError, match="fingerprint"):
        rank(rows, model_of(oracle)[0], tmp_path)


def test_a_damaged_file_is_named(tmp_path):
    rank(make_rows(2), model_of(oracle)[0], tmp_path, "d")
    (file,) = tmp_path.iterdir()
    for content in (file.read_bytes()[:50], b""):
        file.write_bytes(content)
        with pytest.raises(DataError, match=file.name):
            rank(make_rows(2), model_of(oracle)[0], tmp_path, "d")


@pytest.mark.parametrize("bad", [torch.full((16, 4), torch.nan), torch.ones(16, 4), torch.eye(16, dtype=torch.float64), torch.eye(15)])
def test_vectors_that_are_none_are_refused(bad):
    row = RankingRow("r", "", text("q"), tuple(text(str(number)) for number in range(15)), (0,))
    with pytest.raises(DataError, match="vectors"):
        rank([row], SequenceModel("bad", "", "", lambda sequences, instruction: bad))


def test_how_a_prompt_is_written_has_a_hash():
    hashes = {rendering_hash(Rendering()), rendering_hash(Rendering(box="text")), rendering_hash(Rendering(image_facts=()))}
    assert len(hashes) == 3
    assert rendering_hash(Rendering()) in hashes


def test_measures_tell_groups_apart_and_their_intervals_hold_the_value():
    half, _ = model_of(lambda word: oracle("x") if int(word.split()[1]) % 2 else oracle(word))
    found = {one.metric: one for one in measures(rank(make_rows(40), half), "region", "rgb", prompts="p")}
    assert list(found) == [f"{group}{metric}" for group in ("", "even_", "odd_") for metric in ("p1", "r5", "mrr")]
    assert (found["even_p1"].value, found["even_p1"].low, found["even_p1"].high) == (1, 1, 1)
    assert found["odd_p1"].value == pytest.approx(1 / 7) == found["odd_p1"].chance
    assert found["p1"].value == pytest.approx((1 + 1 / 7) / 2)
    assert found["p1"].n == 40
    assert found["p1"].details == {"candidates": [7, 7]}


def test_queries_of_a_scene_are_drawn_together():
    """Two queries a scene, both right or both wrong: the interval is that of 30 trials, not of 60."""
    rows = make_rows(60)
    sure, _ = model_of(lambda word: oracle(word) if int(word.split()[1]) // 2 % 2 else oracle("x"))
    found = rank(rows, sure)
    low, high = found.interval(np.array([float(number // 2 % 2) for number in range(60)]))
    spread = 2 * 1.96 * (0.25 / 30) ** 0.5
    assert high - low == pytest.approx(spread, rel=0.15)


def test_a_lead_is_measured_in_pairs():
    rows = make_rows(40)
    good, bad = rank(rows, model_of(oracle)[0]), rank(rows, model_of(lambda word: oracle("x"))[0])
    assert lead(good, bad) == pytest.approx((6 / 7, 6 / 7, 6 / 7))
    assert lead(good, good) == (0, 0, 0)
    assert mean_of([good, bad]).values[:, 0] == pytest.approx((1 + 1 / 7) / 2)
    with pytest.raises(DataError, match="same rows"):
        lead(good, bad.of("even"))
