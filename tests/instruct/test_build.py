"""Shards to pairs: deterministic, whole, and true of the samples."""

import json

import pytest

from geolangbind.data.write import write_index, write_shard
from geolangbind.errors import DataError, SettingsError
from geolangbind.instruct.build import KINDS, build_pairs
from geolangbind.instruct.rows import Pairs, StoredImage
from geolangbind.instruct.wordings import SOURCES, load_wordings
from geolangbind.interleaved.segments import Image, Text


@pytest.fixture(scope="module")
def built(planet, tmp_path_factory):
    return build_pairs([planet], tmp_path_factory.mktemp("pairs") / "all")


def test_the_planet_gives_every_source_that_its_facts_allow(built, planet):
    pairs, empty = built
    # one sample per class and modality: nothing to edit towards, and no boxes or second dates
    assert empty == ("boxes", "boxes-to-region", "edits", "dates")
    sizes = {name: len(source) for name, source in pairs.sources.items()}
    singles = ["labels", "captions", "captions-to-image", "places", "places-to-image", "sensors"]
    assert sizes == {**dict.fromkeys(singles, 48), "questions": 96}
    assert pairs.images.keys() == {"planet"}
    pairs.verify()


def test_provenance_names_wordings_and_shards(built, planet):
    told = built[0].sources["captions-to-image"].provenance
    fingerprint = json.loads((planet / "index.json").read_text())["fingerprint"]
    assert told == {"kind": "captions", "instructions": load_wordings().version, "shards": {"planet": fingerprint}, "split": None}


def test_the_same_shards_give_the_same_rows(built, planet, tmp_path):
    again, _ = build_pairs([planet], tmp_path / "again", ["places", "labels"])
    assert list(again.sources) == ["places", "places-to-image", "labels"]
    for name, source in again.sources.items():
        assert source.sha256 == built[0].sources[name].sha256


def test_no_negative_is_right(built):
    for name, source in built[0].sources.items():
        for row in Pairs.read(built[0], name, range(len(source))):
            wrong = {repr(negative) for negative in row.negatives}
            assert repr(row.target) not in wrong
            assert row.target_key not in row.true


def test_targets_are_true_of_the_images(built):
    pairs = built[0]
    for row in pairs.read("labels", range(0, 48, 7)):
        (image,), (words,) = row.query, row.target
        sample = pairs.sample(image.source)
        assert words.text in pairs.shard_sets["planet"].index.provenance["classes"]["scene_class"][sample.meta.labels["scene_class"]]
    for row in pairs.read("captions", range(0, 48, 7)):
        assert row.target[0].text in pairs.sample(row.query[0].source).meta.captions
    for row in pairs.read("places", range(0, 48, 7)):
        west, south, east, north = pairs.sample(row.query[0].source).meta.bbox_wgs84
        assert west < row.target[0].lon < east
        assert south < row.target[0].lat < north
    for row in pairs.read("sensors", range(0, 48, 7)):
        one, other = (segment.source.key for segment in row.query)
        assert one != other
        assert one.partition("-")[2] == other.partition("-")[2]
        captions = {caption for segment in row.query for caption in pairs.sample(segment.source).meta.captions}
        assert {json.loads(key)[0] for key in row.true} | {row.target[0].text} == captions
    for row in pairs.read("questions", range(0, 96, 7)):
        assert [type(segment) for segment in row.query] == [Image, Text]
        labels = pairs.sample(row.query[0].source).meta.labels
        assert row.group in ("class", "season")
        if row.group == "season":
            assert row.target[0].text == labels["season"]


def test_folders_of_shards_are_named_by_their_last_part(chip, tmp_path):
    for name in ("v1.0", "more"):
        write_index(tmp_path / name, [write_shard(tmp_path / name / "s-000000.tar", [chip("a", scene_class=name)])])
    pairs, _ = build_pairs([tmp_path / "v1.0", tmp_path / "more"], tmp_path / "pairs", ["labels"])
    assert [row.query[0].source for row in pairs.read("labels", [0, 1])] == [StoredImage("v1-0", "a"), StoredImage("more", "a")]
    pairs.verify()


def test_every_source_has_instructions():
    assert [name for kind in KINDS.values() for name in kind] == list(SOURCES)


def test_what_cannot_be_built_is_told(planet, tmp_path):
    with pytest.raises(SettingsError, match="unknown kind 'caption'; kinds are labels, captions"):
        build_pairs([planet], tmp_path, ["caption"])
    with pytest.raises(SettingsError, match="two are equal"):
        build_pairs([planet, planet], tmp_path)
    with pytest.raises(DataError, match="nothing there to make boxes from"):
        build_pairs([planet], tmp_path, ["boxes"])
    assert list(tmp_path.iterdir()) == []
