"""The loop of the controls: it learns, keeps to the truth, and its steps follow from operations counted."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from geolangbind.demo_interleaved.fit import Recipe, contrast, drawer, fit, flops_of
from geolangbind.demo_interleaved.mlp import Bag, Described
from geolangbind.demo_interleaved.parts import PartsModel, as_ranked
from geolangbind.errors import SettingsError
from geolangbind.instruct.ranking import rank
from geolangbind.instruct.rows import RankingRow, Row, write_pairs
from geolangbind.instruct.segments_json import key_of
from geolangbind.interleaved.segments import Text

RECIPE = Recipe(60, learning_rate=3e-3)
WORDS = [f"{size} {kind}" for size in ("small", "large") for kind in ("tank", "pond", "pit", "grove")]


def a_row(fake, number, **told):
    return Row(f"r{number}", "", (fake.image(number),), (Text(WORDS[number % 8]),), **told)


@pytest.fixture
def model(fake):
    """Views are told their number in the world: one of eight."""
    describe = lambda views, images: F.one_hot(torch.tensor([int(image.source.key) % 8 for image, _ in views]), 8).float()  # noqa: E731
    return PartsModel(Described(describe, 8, 32, 16), Bag(32, 16))


def test_a_few_steps_take_it_from_chance_to_certainty(fake, model):
    rankings = [
        RankingRow(str(n), "", (fake.image(n),), tuple((Text(word),) for word in WORDS), (n % 8,), group="all") for n in range(8, 24)
    ]
    before = rank(rankings, as_ranked(model, fake.images(), "mlp")).values[:, 0].mean()
    shares = []
    draw = lambda step: [a_row(fake, step + n) for n in range(8)]  # noqa: E731
    steps, loss = fit(model, fake.images(), draw, RECIPE, "test", progress=False, tell=shares.append)
    assert shares == pytest.approx([step / 60 for step in range(1, 61)])
    assert before < 0.5
    assert rank(rankings, as_ranked(model, fake.images(), "mlp")).values[:, 0].mean() == 1
    assert loss < 0.1
    assert steps == 60
    assert not model.training


def test_what_is_also_true_is_no_negative(fake, model):
    """Against the softmax written out, without the column of the other true target; equal targets leave each other out, too."""
    also = frozenset({key_of((Text(WORDS[1]),))})
    rows = [a_row(fake, 0, true=also), a_row(fake, 1), a_row(fake, 2), a_row(fake, 10)]
    scores = 5.0 * model([row.query for row in rows], fake.images()) @ model([row.target for row in rows], fake.images()).T
    kept = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 1]], dtype=torch.bool)
    masked = scores.masked_fill(~kept, -math.inf)
    own = torch.arange(4)
    expected = (F.cross_entropy(masked, own) + F.cross_entropy(masked.T, own)) / 2
    torch.testing.assert_close(contrast(model, fake.images(), rows, torch.tensor(5.0), "cut"), expected)


def test_hard_negatives_are_columns_for_all(fake, model):
    rows = [a_row(fake, 0, negatives=((Text("large pit"),), (Text("a lot"),))), a_row(fake, 1)]
    targets = [row.target for row in rows]
    query, target = model([row.query for row in rows], fake.images()), model([*targets, *rows[0].negatives], fake.images())
    scores, own = query @ target.T, torch.arange(2)
    expected = (F.cross_entropy(scores, own) + F.cross_entropy(scores[:, :2].T, own)) / 2
    torch.testing.assert_close(contrast(model, fake.images(), rows, torch.tensor(1.0), "cut"), expected)


def test_hard_negatives_are_known_by_the_keys_that_their_rows_give(fake, model):
    """The negative of the second row is what the first asks for: it is set against the second query alone."""
    rows = [a_row(fake, 0, target_key="k"), a_row(fake, 1, negatives=((Text("large pit"),),), negative_keys=("k",))]
    targets = [*(row.target for row in rows), *rows[1].negatives]
    scores, own = model([row.query for row in rows], fake.images()) @ model(targets, fake.images()).T, torch.arange(2)
    masked = scores.masked_fill(torch.tensor([[False, False, True], [False, False, False]]), -math.inf)
    expected = (F.cross_entropy(masked, own) + F.cross_entropy(scores[:, :2].T, own)) / 2
    torch.testing.assert_close(contrast(model, fake.images(), rows, torch.tensor(1.0), "cut"), expected)


def test_a_step_is_of_one_source_and_a_function_of_seed_and_step(tmp_path):
    wrong = ((Text("x"),), (Text("y"),))
    sources = {
        name: (
            [
                Row(f"{name}{n}", "", (Text(f"{name} {n}"),), (Text(str(n)),), "", wrong, group=name, negative_keys=("x", "y"))
                for n in range(9)
            ],
            {},
        )
        for name in ("a", "b")
    }
    pairs = write_pairs(tmp_path, {}, sources)
    draw = drawer(pairs, {"a": 1.0, "b": 3.0}, 4, seed=1)
    steps = [draw(step) for step in range(40)]
    assert all(len({row.group for row in rows}) == 1 and len(rows) == 4 for rows in steps)
    assert 24 <= sum(rows[0].group == "b" for rows in steps) <= 36
    again = drawer(pairs, {"a": 1.0, "b": 3.0}, 4, seed=1)(7)
    assert [(len(row.negatives), row.negative_keys) for row in again] == [(1, ("x",))] * 4
    assert [len(row.negatives) for row in drawer(pairs, {"a": 1.0}, 4, 1, hard_negatives=0)(0)] == [0] * 4
    assert [row.id for row in again] == [row.id for row in steps[7]]


def test_operations_are_counted_forward_and_backward():
    layer, given = nn.Linear(16, 32, bias=False), torch.ones(8, 16)
    forward = 2 * 8 * 16 * 32  # a product and a sum per weight and row
    assert flops_of(lambda: layer(given).sum()) == 2 * forward  # backward: the weights' gradient; the input needs none
    assert flops_of(lambda: layer(given.requires_grad_()).sum()) == 3 * forward


def test_a_budget_of_operations_is_spent_and_not_a_step_more(fake, model):
    small, large = ([a_row(fake, n) for n in range(count)] for count in (2, 8))
    costs = [flops_of(lambda rows=rows: contrast(model, fake.images(), rows, torch.ones(()), "cut")) for rows in (small, large)]
    assert costs[0] < costs[1]
    budget = 2 * sum(costs) + 1  # two of each, and a fifth step is begun
    steps, _ = fit(model, fake.images(), lambda step: (small, large)[step % 2], Recipe(flops=budget), "test", progress=False)
    assert steps == 5
    with pytest.raises(SettingsError, match="steps or for flops"):
        Recipe()
