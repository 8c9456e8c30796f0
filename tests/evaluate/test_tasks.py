"""What a task is told by the shards and the suite."""

import pytest

from geolangbind.data.index import Index
from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError
from geolangbind.evaluate.prompts import TEMPLATES, label_phrases
from geolangbind.evaluate.suite import Task
from geolangbind.evaluate.tasks import Cell, inputs_of, measure
from geolangbind.planet.groups import CLASSES


def cell_of(folder, embedder, **provenance):
    found = ShardSet.open(folder)
    shards = ShardSet(found.folder, Index(found.index.shards, {**found.index.provenance, **provenance}), found.streams)
    return Cell(embedder, shards, shards.select(modalities=["dem"]), (), None, {})


def test_templates_are_the_cards_or_the_modalitys_or_the_suites(shards, constant):
    plain, carded = cell_of(shards, constant), cell_of(shards, constant, prompts=["a chip of {}"])
    assert plain.templates("card") == plain.templates("modality") == carded.templates("modality") == TEMPLATES["dem"]
    assert carded.templates("card") == ("a chip of {}",) and carded.templates(["{}!"]) == ("{}!",)


@pytest.mark.parametrize("prompts", ["card", "modality", ["a picture of {}"]])
def test_the_words_told_before_are_those_told_after(shards, constant, prompts):
    cell, task = cell_of(shards, constant, prompts=["a chip of {}"]), Task("zero_shot", {"label": "scene_class", "prompts": prompts})
    assert {one.prompts for one in measure(cell, task)} == {inputs_of(cell, task).prompts}


def test_defaults_and_what_is_written_out_are_the_same_settings(shards, constant):
    cell = cell_of(shards, constant)
    short, long = ({"label": "scene_class", **more} for more in ({}, {"prompts": "card"}))
    assert inputs_of(cell, Task("zero_shot", short)).hash == inputs_of(cell, Task("zero_shot", long)).hash


def test_labels_of_shards_without_a_list_are_their_own_phrases(shards, labelled, constant):
    found = cell_of(shards, constant, classes={}).shards
    classes = label_phrases(found, "scene_class")
    assert list(classes) == sorted(classes) and set(classes) <= set(CLASSES)
    assert all(phrases == (name.replace("_", " "),) for name, phrases in classes.items())
    assert set(label_phrases(found, "scene_index")) == {str(number) for number in range(12)}
    several = label_phrases(cell_of(labelled, constant, classes={}).shards, "classes")
    assert set(several) > set(classes) and set(several) - set(classes) <= {"first", "second", "third", "fourth"}
    with pytest.raises(DataError, match=r"no sample in .* has a label 'crop'"):
        label_phrases(found, "crop")


def test_metrics_of_pairs_of_modalities_can_be_chosen(labelled, constant):
    """They are all found in the first cell of a data set; the others find none, which is no mistake in the suite."""
    found, cells = ShardSet.open(labelled), {}
    for modality in ("rgb", "dem"):
        cells[modality] = Cell(constant, found, found.select(modalities=[modality]), (), None, cells)
    told = [measure(cells[modality], Task("cross_sensor", metrics=("r1",))) for modality in ("rgb", "dem")]
    assert [[(one.modality, one.metric) for one in own] for own in told] == [[("rgb->dem", "r1"), ("dem->rgb", "r1")], []]
