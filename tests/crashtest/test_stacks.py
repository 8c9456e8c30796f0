import pytest
import torch

from geolangbind.crashtest.stacks import StackSet, rows
from geolangbind.errors import DataError


def test_views_show_the_same_places_in_the_same_order(stack):
    views = stack().views
    with pytest.raises(DataError, match="same places in the same order"):
        StackSet("x", True, "", {"a": views["optical"], "b": rows(views["radar"], 0, 3)})


def test_one_place_has_no_other_to_be_mistaken_for(stack):
    with pytest.raises(DataError, match="at least 2 places"):
        StackSet("x", True, "", {"a": rows(stack().views["optical"], 0, 1)})


def test_names_of_views_are_checked(stack):
    with pytest.raises(DataError, match="no view nowhere; views are a"):
        StackSet("x", True, "", {"a": stack().views["optical"]}, unseen={"nowhere": "a"})


def test_rows_cut_everything(stack):
    whole = stack(holes=True).views["radar"]
    part = rows(whole, 2, 5)
    assert part.keys == ("p2", "p3", "p4")
    assert torch.equal(part.image, whole.image[2:5]) and torch.equal(part.valid, whole.valid[2:5])
    assert stack().views["radar"].valid is None
