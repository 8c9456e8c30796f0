"""Scores on a validation set in memory are those of geolangbind-evaluate."""

from dataclasses import replace

import numpy as np
import pytest

from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError, UnitError
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.prompts import label_phrases, prompts_hash
from geolangbind.evaluate.run import run_suite
from geolangbind.sweep.grid import Pair, part_coefficients
from geolangbind.sweep.merge import merged_tensors, put, read_parents
from geolangbind.sweep.validation import open_validation, score, text_vectors
from geolangbind.weights.load import load
from merge_weights import merge


@pytest.fixture(scope="module")
def parents(models):
    return read_parents(models)


@pytest.mark.parametrize("pair", [Pair(0.9, 0.5), Pair(0.2, 0.8), Pair(0.0, 1.0)])
def test_scores_are_those_of_the_suite_on_the_written_merge(models, parents, suite, pair, tmp_path):
    merge(models["base"], [(models["rgb"], pair.m1), (models["others"], pair.m2)], tmp_path / "merged")
    rows = {row.modality: row for row in run_suite(Ours.open(str(tmp_path / "merged")), suite.suite()).rows}
    validation = open_validation(suite, parents.model.statistics)
    put(parents, merged_tensors(parents, part_coefficients(pair, "average")))
    found = score(parents.model, validation, text_vectors(parents.model, validation))
    assert found.keys() == rows.keys() == {"rgb", "dem"}
    for modality, row in rows.items():
        got = found[modality]
        assert (got.top1, got.n, got.low, got.high) == (row.value, row.n, row.low, row.high)
        assert got.right.sum() == round(16 * got.top1) and validation.prompts()[modality] == row.prompts
        assert validation.revision == row.revision and validation.synthetic == row.synthetic


def test_sets_too_large_for_memory_are_read_anew_with_the_same_result(parents, suite):
    kept, anew = (open_validation(suite, parents.model.statistics, size) for size in (1 << 30, 0))
    assert kept.kept is not None and anew.kept is None
    first, second = (score(parents.model, data, text_vectors(parents.model, data)) for data in (kept, anew))
    assert all(np.array_equal(first[modality].right, second[modality].right) for modality in first)
    assert sum(len(batch.truth) for batch in anew.batches("dem")) == 16


def test_modalities_can_be_chosen(parents, suite, shards):
    validation = open_validation(replace(suite, modalities=["dem"]), parents.model.statistics)
    assert set(score(parents.model, validation, text_vectors(parents.model, validation))) == {"dem"}
    classes = label_phrases(ShardSet.open(shards), "scene_class")
    assert validation.prompts() == {"dem": prompts_hash(classes, "dem")}


def test_samples_without_the_label_and_unknown_kinds_are_refused(models, parents, suite):
    with pytest.raises(DataError, match=r"no sample in .* has a label 'crop'"):
        open_validation(replace(suite, label="crop"), parents.model.statistics)
    with pytest.raises(UnitError, match="never taught elevation"):
        open_validation(suite, load(models["base"]).statistics)


def test_a_label_outside_the_classes_is_refused(parents, suite, monkeypatch):
    monkeypatch.setattr("geolangbind.sweep.validation.label_phrases", lambda *_: {"forest": ("forest",)})
    with pytest.raises(DataError, match="which is none of forest"):
        open_validation(suite, parents.model.statistics)
