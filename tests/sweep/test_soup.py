"""Soups: the right models are chosen, and what is written is their plain average and what was scored."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from geolangbind.errors import CheckpointError, SettingsError
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.run import run_suite
from geolangbind.sweep import soup as module
from geolangbind.sweep.merge import merged_tensors, read_parents
from geolangbind.sweep.soup import SoupRequest, average_coefficients, make_soup, render
from geolangbind.weights.load import load


@pytest.fixture
def asked(models, suite, tmp_path):
    return SoupRequest(tuple(models.values()), replace(suite, modalities=["rgb"]), tmp_path / "soup", command="typed")


def tensors(folder, model=True):
    return load_file(f"{folder}/{'model/' * model}model.safetensors")


def test_uniform_is_the_mean_of_all(asked, models):
    steps = []
    made = make_soup(replace(asked, uniform=True), lambda: steps.append(1))
    assert made.chosen == asked.models and len(made.scores) == len(steps) == 1
    written, given = tensors(asked.out, model=False), [tensors(folder) for folder in models.values()]
    for name, tensor in written.items():
        mean = np.mean([parent[name].double().numpy() for parent in given], axis=0)
        assert np.allclose(tensor.double().numpy(), mean, rtol=1e-7, atol=1e-12), name
    assert not [name for name in written if name.startswith("maka.")]


def test_what_was_scored_is_what_was_written(asked, suite):
    made = make_soup(replace(asked, uniform=True))
    parents = read_parents({model: model for model in asked.models})
    coefficients = dict.fromkeys(("generator", "blocks", "pooling", "stem", "rest"), average_coefficients(3))
    written = tensors(asked.out, model=False)
    for name, tensor in merged_tensors(parents, coefficients):
        assert tensor.numpy().tobytes() == written[name].numpy().tobytes(), name
    (row,) = run_suite(Ours.open(str(asked.out)), asked.suite.suite()).rows
    assert made.scores[0][1] == row.value


def test_greedy_keeps_what_does_not_hurt(asked, monkeypatch):
    base, rgb, others = asked.models
    values = {(base,): 0.3, (rgb,): 0.5, (others,): 0.4, (rgb, others): 0.4, (rgb, base): 0.5}
    monkeypatch.setattr(module, "_score", lambda parents, validation, names: values[names])
    steps = []
    made = make_soup(asked, lambda: steps.append(1))
    assert made.chosen == (rgb, base) and dict(made.scores) == values and len(steps) == 5
    written, one, two = tensors(asked.out, model=False), tensors(rgb), tensors(base)
    name = "vision.pos_embed"
    assert np.array_equal(written[name], ((one[name].double() + two[name].double()) / 2).float())


def test_a_soup_of_one_is_that_model(asked, monkeypatch):
    rgb = asked.models[1]
    monkeypatch.setattr(module, "_score", lambda parents, validation, names: 0.5 if names == (rgb,) else 0.1)
    assert make_soup(asked).chosen == (rgb,)
    written, given = tensors(asked.out, model=False), tensors(rgb)
    assert all(np.array_equal(written[name], given[name]) for name in written)


def test_provenance_is_kept(asked):
    made = make_soup(asked)
    model, told = load(asked.out), json.loads((asked.out / "soup.json").read_text())
    assert {parent["path"] for parent in model.parents} == set(made.chosen) and model.provenance["command"] == "typed"
    assert all(len(parent["sha256"]) == 64 for parent in model.parents)
    assert told["kind"] == "greedy" and tuple(told["chosen"]) == made.chosen and told["command"] == "typed" and told["synthetic"]
    assert [(tuple(entry["models"]), entry["mean_top1"]) for entry in told["scores"]] == list(made.scores)
    assert made.scores[:3] == tuple(((name,), dict(made.scores)[(name,)]) for name in asked.models)
    assert len(list(render(made).rows)) == len(made.scores)


def test_refusals_come_before_the_work(asked, monkeypatch):
    monkeypatch.setattr(module, "_score", lambda *_: pytest.fail("scored first"))
    for models in (asked.models[:1], (*asked.models, asked.models[0])):
        with pytest.raises(SettingsError, match="at least two different models"):
            make_soup(replace(asked, models=models))
    with pytest.raises(CheckpointError, match="exists"):
        asked.out.mkdir()
        make_soup(asked)
    with pytest.raises(CheckpointError, match="would replace"):
        make_soup(replace(asked, out=Path(asked.models[1]) / "model", overwrite=True))
