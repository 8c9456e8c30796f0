"""What makes an evaluation lie, for every task: guessing that beats chance, perfection that is not rewarded, an order that matters."""

from dataclasses import replace

import pytest
import torch

from geolangbind.data.index import Index
from geolangbind.data.shards import ShardSet
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.encoded import encode_streams
from geolangbind.evaluate.suite import Task
from geolangbind.evaluate.tasks import TASKS, Cell, check_task, measure

ASKED = [
    Task("zero_shot", {"label": "scene_class"}),
    Task("multi_label", {"label": "classes"}),
]
"""Every task once; a task that joins TASKS joins here."""
BEST = {"ece": 0.0}
"""What perfection scores where it is not 1."""
each_task = pytest.mark.parametrize("task", ASKED, ids=lambda task: task.name)


@pytest.fixture
def cell(labelled):
    def make(embedder, shards=None):
        found = shards or ShardSet.open(labelled)
        return Cell(embedder, found, found.select(modalities=["dem"]), (), None, {})

    return make


def test_every_task_is_tried():
    assert {task.name for task in ASKED} == set(TASKS)
    for task in ASKED:
        check_task(task)


@each_task
def test_a_constant_embedder_scores_chance(cell, constant, task):
    found = measure(cell(constant), task)
    assert [one.value for one in found] == pytest.approx([one.chance for one in found], abs=1e-6)


@each_task
def test_an_oracle_scores_one(cell, oracle, task):
    found = measure(cell(oracle), task)
    assert {one.metric: one.value for one in found} == {one.metric: pytest.approx(BEST.get(one.metric, 1.0), abs=1e-6) for one in found}
    assert all(one.chance < 0.7 and one.low - 1e-9 <= one.value <= one.high + 1e-9 for one in found)


def figures(measures):
    return {one.metric: (one.value, one.chance, one.n) for one in measures}


def close(found):
    return {metric: pytest.approx(values, abs=1e-6) for metric, values in found.items()}


@each_task
@pytest.mark.parametrize(("batch_size", "workers"), [(5, 0), (1, 0), (7, 2)])
def test_batches_and_workers_move_nothing(cell, model, task, batch_size, workers):
    whole, parts = cell(Ours("m", "1", model)), cell(Ours("m", "1", model))
    parts.__dict__["encoded"] = encode_streams(parts.embedder, parts.streams, batch_size, workers)
    assert not torch.equal(whole.encoded.vectors[0], whole.encoded.vectors[1])
    assert figures(measure(parts, task)) == close(figures(measure(whole, task)))


@each_task
def test_the_order_of_classes_and_samples_moves_nothing(cell, model, labelled, task):
    found = ShardSet.open(labelled)
    mixed = {label: dict(reversed(listed.items())) for label, listed in found.index.provenance["classes"].items()}
    first = cell(Ours("m", "1", model))
    other = cell(first.embedder, ShardSet(found.folder, Index(found.index.shards, {"classes": mixed}), found.streams))
    order = torch.randperm(len(first.encoded), generator=torch.Generator().manual_seed(0))
    plain = first.encoded
    mixed_up = {name: tuple(getattr(plain, name)[i] for i in order) for name in ("keys", "labels", "captions")}
    other.__dict__["encoded"] = replace(plain, vectors=plain.vectors[order], **mixed_up)
    assert figures(measure(other, task)) == close(figures(measure(first, task)))
