"""What makes an evaluation lie, for every task: guessing that beats chance, perfection that is not rewarded, an order that matters."""

from dataclasses import replace
from functools import cache

import pytest
import torch

from geolangbind.data.loader import iterate_all
from geolangbind.data.shards import ShardSet
from geolangbind.evaluate import segmentation
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.encoded import encode_streams
from geolangbind.evaluate.suite import Task
from geolangbind.evaluate.tasks import TASKS, Cell, check_task, measure

ASKED = [
    Task("zero_shot", {"label": "scene_class"}),
    Task("multi_label", {"label": "classes"}),
    Task("retrieval"),
    Task("cross_sensor"),
    Task("knn", {"label": "scene_class", "k": 1}),
    Task("linear_probe", {"label": "scene_class"}),
    Task("few_shot", {"label": "scene_class", "shots": [1], "draws": 2}),
    Task("segmentation", {"steps": 60, "learning_rate": 0.1}),
    Task("open_vocabulary"),
]
"""Every task once; a task that joins TASKS joins here."""
UNSURE = [
    replace(task, settings={**task.settings, "label": "season"}) if task.name in ("linear_probe", "few_shot") else task for task in ASKED
]
"""The same, where draws and splits of the bank have a choice: several scenes share their season, hardly any its class."""
BEST = {"ece": 0.0}
"""What perfection scores where it is not 1."""
AT_MOST = ("segmentation", "open_vocabulary")
"""Chance is the better of two blind guesses for every metric of masks, and a blind model makes but one: a head names the most frequent
class, and equal cosines name all classes alike."""
each_task = pytest.mark.parametrize("task", ASKED, ids=lambda task: task.name)
each_unsure_task = pytest.mark.parametrize("task", UNSURE, ids=lambda task: task.name)


def cell(embedder, folder, bank):
    """The cell of dem, beside that of rgb, each with a bank."""
    shards, banks, cells = ShardSet.open(folder), ShardSet.open(bank), {}
    for modality in ("dem", "rgb"):
        own, known = (found.select(modalities=[modality]) for found in (shards, banks))
        cells[modality] = Cell(embedder, shards, own, (), Cell(embedder, banks, known, (), None, {}), cells)
    return cells["dem"]


def figures(measures):
    return {(one.modality, one.metric): (one.value, one.chance, one.n) for one in measures}


def close(found):
    return {metric: pytest.approx(values, abs=1e-6) for metric, values in found.items()}


@pytest.fixture(scope="module")
def ours(model):
    return Ours("m", "1", model)


@pytest.fixture(scope="module")
def usual(ours, labelled):
    """`usual(name)`: figures of a task, read as always."""
    whole = cell(ours, labelled, labelled)
    assert not torch.equal(whole.encoded.vectors[0], whole.encoded.vectors[1])
    return cache(lambda name: figures(measure(whole, next(task for task in UNSURE if task.name == name))))


@pytest.fixture(scope="module", params=[(5, 0), (7, 2)], ids=lambda how: f"{how[0]} samples, {how[1]} workers")
def parts(request, ours, labelled):
    """The usual cell, read in other batches."""
    batch_size, workers = request.param
    made = cell(ours, labelled, labelled)
    for part in (*made.beside.values(), made.bank):
        part.__dict__["encoded"] = encode_streams(ours, part.streams, batch_size, workers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmentation, "iterate_all", lambda stream, _: iterate_all(stream, batch_size, workers=workers))
        yield made


def test_every_task_is_tried():
    assert [task.name for task in ASKED] == list(TASKS)
    for task in ASKED:
        check_task(task)


@each_task
def test_a_constant_embedder_scores_chance(constant, labelled, reordered, task):
    found = measure(cell(constant, labelled, labelled), task)
    assert figures(measure(cell(constant, reordered, labelled), task)) == close(figures(found))  # no class is favoured for being the first
    for one in found:
        assert one.value <= one.chance + 1e-6 if task.name in AT_MOST else one.value == pytest.approx(one.chance, abs=1e-6), one.metric


@each_task
def test_an_oracle_scores_one(oracle, labelled, task):
    found = measure(cell(oracle, labelled, labelled), task)
    assert {one.metric: one.value for one in found} == {one.metric: pytest.approx(BEST.get(one.metric, 1.0), abs=1e-6) for one in found}
    assert found[0].chance < 0.7 and all(one.low - 1e-9 <= one.value <= one.high + 1e-9 for one in found)


@each_unsure_task
def test_batches_and_workers_move_nothing(parts, usual, task):
    assert figures(measure(parts, task)) == close(usual(task.name))


@each_unsure_task
def test_the_order_of_classes_and_samples_moves_nothing(ours, labelled, reordered, usual, task):
    # the order of a bank that a head learns from by stochastic gradients is a part of its seed
    bank = labelled if task.name == "segmentation" else reordered
    assert figures(measure(cell(ours, reordered, bank), task)) == close(usual(task.name))
