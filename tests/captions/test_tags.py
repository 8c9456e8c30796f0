import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from geolangbind.captions import Facts, write_captions
from geolangbind.captions.tags import FORMS, TABLES, statements
from geolangbind.captions.templates import FOLDER, load_templates

FILE = yaml.safe_load((FOLDER / "tags.yaml").read_text(encoding="utf-8"))
VALUES = sorted(
    {value for table in (*FILE["features"].values(), *FILE["properties"].values()) for value in table} | {"3", "12.5 m", "no", "{x}", "a;b"}
)
KEYS = [*FILE["features"], *FILE["properties"], "name", "addr:street"]


def said(**tags):
    tables = load_templates("tags", FORMS, TABLES).tables
    found = statements(Facts(modality="rgb", shape=(9, 9), tags={key.replace("__", ":"): value for key, value in tags.items()}), tables)
    return [(statement.form, statement.slots) for statement in found]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=5), st.integers(0, 99))
def test_sentences_are_well_formed(well_formed, tags, key):
    for caption in write_captions("tags", Facts(modality="sar", shape=(9, 9), tags=tags), str(key), 8):
        well_formed(re.sub(r"\b(\w+) \1\b", r"\1", caption.text))  # a name may say a word again


def test_every_feature_of_the_table_makes_a_sentence(well_formed):
    for key, table in FILE["features"].items():
        for value in table:
            tags = {key: "made up" if value == "*" else value.replace(" ", "_")}
            captions = write_captions("tags", Facts(modality="rgb", shape=(9, 9), tags=tags), value, 9)
            assert len(captions) == 4, tags
            for caption in captions:
                well_formed(caption.text)
                assert table[value].replace("{}", "made up") in caption.text.lower()


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"building": "residential"}, "a residential building"),
        ({"building": "yes"}, "a building"),
        ({"building": "fire_station"}, "a fire station building"),
        ({"natural": "water"}, "water"),
        ({"natural": "water", "water": "lake"}, "a lake"),
        ({"natural": "wetland", "wetland": "bog"}, "a bog"),
        ({"amenity": "school", "building": "school"}, "a school building"),
        ({"highway": "residential"}, "a residential street"),
        ({"building": "yes", "addr:street": "Elm Street"}, "a building"),
    ],
)
def test_things(tags, expected):
    assert said(**tags)[-1] == ("one", {"thing": expected})


@pytest.mark.parametrize(
    "tags", [{}, {"building": "no"}, {"surface": "asphalt"}, {"highway": "bus_stop"}, {"name": "Berlin"}, {"building": "<b>"}]
)
def test_nothing_is_said_of_unknown_tags(tags):
    assert said(**tags) == []


@pytest.mark.parametrize(
    ("tags", "details"),
    [
        ({"surface": "asphalt", "lanes": "2"}, "an asphalt surface and two lanes"),
        ({"surface": "paving_stones"}, "a surface of paving stones"),
        ({"smoothness": "very_bad"}, "very bad smoothness"),
        ({"roof__shape": "gabled", "building__levels": "3"}, "a gabled roof and three storeys"),
        ({"building__levels": "1"}, "one storey"),
        ({"building__levels": "12"}, "12 storeys"),
        ({"height": "12.5 m"}, "a height of 12.5 metres"),
        ({"building__material": "brick"}, "walls of brick"),
        ({"surface": "unpaved"}, "an unpaved surface"),
    ],
)
def test_details(tags, details):
    assert ("detail", {"thing": "a building", "details": details}) in said(building="yes", **tags)


@pytest.mark.parametrize(
    "tags",
    [{"surface": "asphalt;gravel"}, {"lanes": "2.5"}, {"lanes": "0"}, {"height": "40'"}, {"surface": "none"}, {"building__levels": "-1"}],
)
def test_details_that_contradict_each_other_or_cannot_be_read_are_left_out(tags):
    assert said(building="yes", **tags) == [("one", {"thing": "a building"})]


def test_several_things_get_no_details_and_no_name():
    told = said(building="yes", natural="water", surface="asphalt", name="Pond House")
    assert told == [("several", {"things": "a building and water"})]
    assert said(natural="sand;scrub") == [("several", {"things": "sand and scrub"})]


@pytest.mark.parametrize(
    ("name", "kept"), [("Lake Zürich", True), ("東京国際空港", True), ("A {x}", False), ("x" * 61, False), ("a\x07b", False), ("", False)]
)
def test_names(name, kept):
    assert (("named", {"thing": "an airport", "name": name}) in said(aeroway="aerodrome", name=name)) is kept
