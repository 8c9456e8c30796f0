import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geolangbind.captions import Facts, write_captions
from geolangbind.captions.labels import statements

CLASSES = ["forest", "river", "airport", "dense trees", "urban area", "pasture", "sea or lake", "industrial units", "harbour", "orchard"]


def facts(*classes):
    return Facts(modality="msi", shape=(64, 64), classes=classes)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=8), st.sampled_from(["rgb", "sar", "ir", "dem"]), st.integers(0, 9))
def test_names_the_classes_and_no_other(well_formed, classes, modality, key):
    distinct = list(dict.fromkeys(classes))
    captions = write_captions("labels", Facts(modality=modality, shape=(9, 9), classes=tuple(classes)), str(key), 6)
    assert len(captions) == 6
    for caption in captions:
        well_formed(caption.text)
        told = [name for name in CLASSES if re.search(rf"\b{name}\b", caption.text, re.IGNORECASE)]
        assert sorted(told) == sorted(distinct[:5])
        assert (" and more" in caption.text) == (len(distinct) > 5)


def test_one_class_and_several():
    (one,) = statements(facts("airport"))
    assert (one.form, one.slots) == ("one", {"class": "an airport"})
    (several,) = statements(facts("airport", "forest", "Airport"))
    assert (several.form, several.slots) == ("several", {"classes": "an airport and forest"})


@pytest.mark.parametrize("classes", [(), ("",), ("  ", "_")])
def test_nothing_is_said_of_nothing(classes):
    assert statements(facts(*classes)) == []
