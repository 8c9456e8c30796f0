"""A suite says what it means, or where it does not."""

from pathlib import Path

import pytest

from geolangbind.errors import GeoLangBindError
from geolangbind.evaluate.suite import Labelled, Source, Task, parse_suite
from geolangbind.evaluate.tasks import check_task
from geolangbind.hydra_entry import compose

TASK = {"task": "zero_shot", "label": "scene_class"}


def suite_of(**entry):
    return {"name": "mine", "root": "/data", "datasets": {"one": {"tasks": [TASK], **entry}}}


def test_an_entry_says_which_samples_and_what_is_asked():
    own = {**TASK, "metrics": ["top1"], "prompts": ["a photo of {}"]}
    suite = parse_suite(suite_of(shards="here", modalities=["rgb"], bands=["B", "G"], bank={"planet": {"scenes": 5}}, tasks=[own]))
    (dataset,) = suite.datasets
    assert (suite.name, dataset.name, dataset.modalities, dataset.bands, dataset.sensors) == ("mine", "one", ("rgb",), ("B", "G"), ())
    assert dataset.source == Source(shards="here")
    assert dataset.bank == Source(planet={"scenes": 5, "seed": 0, "split": "test"})
    assert dataset.tasks == (Task("zero_shot", {"label": "scene_class", "prompts": ["a photo of {}"]}, ("top1",)),)


def test_cards_lie_under_the_root_in_a_folder_of_their_name():
    (dataset,) = parse_suite(suite_of(card="eurosat", split="test", limit=5)).datasets
    source = dataset.source
    assert (source.card.name, source.root, source.folder, source.split, source.limit) == ("eurosat", Path("/data"), "eurosat", "test", 5)
    (dataset,) = parse_suite(suite_of(card="eurosat", root="/other", folder="chips")).datasets
    assert (dataset.source.root, dataset.source.folder) == (Path("/other"), "chips")


def test_a_card_may_be_written_into_the_suite():
    view = {"sensor": "sentinel-2-tci", "from": {"files": "{class}/{id}.jpg"}}
    (dataset,) = parse_suite(suite_of(card={"views": {"rgb": view}, "prompts": ["{}!"]})).datasets
    card = dataset.source.card
    assert (card.name, card.licence, card.prompts, list(card.views)) == ("one", "unknown", ("{}!",), ["rgb"]) and len(card.sha256) == 64
    (other,) = parse_suite(suite_of(card={"views": {"rgb": view}})).datasets
    assert other.source.card.sha256 != card.sha256


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"shard": "x"}, r"suite mine: one has an unknown key 'shard' \(did you mean shards\?\)"),
        ({}, "suite mine: one: samples come from one of planet, shards and card; got none"),
        ({"shards": "x", "planet": {}}, "got planet, shards"),
        ({"planet": {"scene": 5}}, r"suite mine: one: planet has an unknown key 'scene' \(did you mean scenes\?\)"),
        ({"shards": "x", "limit": 5}, "limit is a whole number above 0, of a card's samples; got 5"),
        ({"shards": "x", "tasks": []}, "suite mine: one: needs 'tasks'"),
        ({"shards": "x", "tasks": [{"label": "y"}]}, "each entry needs 'task'"),
        ({"shards": "x", "modalities": "rgb"}, "suite mine: one: modalities must be a list of texts"),
        ({"shards": "x", "tasks": [{**TASK, "prompts": ["a photo"]}]}, "one: zero_shot: prompts must be card, modality or templates"),
        ({"card": "eurosatt"}, r"did you mean eurosat\?"),
        ({"card": {"views": {"rgb": {"sensor": "sentinel-9"}}}}, "suite mine: one: card: .*sentinel-9|needs 'sensor' and 'from'"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(entry, message):
    with pytest.raises(GeoLangBindError, match=message):
        parse_suite(suite_of(**entry))


def test_the_suite_itself_is_checked():
    with pytest.raises(GeoLangBindError, match=r"suite has an unknown key 'dataset' \(did you mean datasets\?\)"):
        parse_suite({"name": "mine", "dataset": {}})
    with pytest.raises(GeoLangBindError, match=r"averages\.all names two, which is no data set of the suite"):
        parse_suite({**suite_of(shards="x"), "averages": {"all": ["one", "two"]}})


def test_unknown_tasks_and_settings_are_refused_with_the_nearest():
    with pytest.raises(GeoLangBindError, match=r"no task 'zero_shots' \(did you mean zero_shot\?\); tasks are zero_shot, multi_label"):
        check_task(Task("zero_shots", {"label": "x"}))
    with pytest.raises(GeoLangBindError, match=r"multi_label has no setting 'treshold' \(did you mean threshold\?\); settings are label,"):
        check_task(Task("multi_label", {"label": "x", "treshold": 2}))
    with pytest.raises(GeoLangBindError, match="task zero_shot needs a setting 'label'"):
        check_task(Task("zero_shot"))


def test_labelled_shards_are_the_zero_shot_suite_with_the_modalitys_words():
    composed = parse_suite(compose("evaluate", ["suite.data=here", "suite.label=crop", "suite.modalities=[sar]"])["suite"])
    mine = Labelled("zero_shot", "here", "crop", ["sar"]).suite()
    assert mine.datasets[0].source == composed.datasets[0].source and mine.name == composed.name
    for name in ("name", "modalities", "bands"):
        assert getattr(mine.datasets[0], name) == getattr(composed.datasets[0], name)
    (one,), (other,) = mine.datasets[0].tasks, composed.datasets[0].tasks
    assert (one.name, one.metrics, one.settings) == (other.name, other.metrics, {**other.settings, "prompts": "modality"})
