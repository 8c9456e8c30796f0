"""How grids are typed, and which points are one merge."""

import pytest

from geolangbind.errors import SettingsError
from geolangbind.sweep.grid import Pair, parse_grid, part_coefficients, same_merges


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0:1:0.1", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
        ("0.25:0.75:0.25", (0.25, 0.5, 0.75)),
        ("0.5:0.5:0.1", (0.5,)),
        ("0.9, 0.5,0", (0.0, 0.5, 0.9)),
        ("1", (1.0,)),
        ("-0", (0.0,)),
        ("0:1e-1:5e-2", (0.0, 0.05, 0.1)),
    ],
)
def test_grids(text, values):
    assert parse_grid(text, "--m1") == values  # exactly the decimals' floats: 3 x 0.1 would not be 0.3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0:1", "--m2 takes start:stop:step"),
        ("0:1:0.1:2", "takes start:stop:step"),
        ("a:1:0.1", "takes start:stop:step"),
        ("half", "takes start:stop:step"),
        ("", "takes start:stop:step"),
        ("0.5,", "takes start:stop:step"),
        ("0:1:0", "the step must be positive"),
        ("0:1:-0.1", "the step must be positive"),
        ("1:0:0.1", "start must not lie above stop"),
        ("0:inf:0.1", "start must not lie above stop"),
        ("nan:1:0.1", "start must not lie above stop"),
        ("0:1:0.3", r"do not meet 1; write 0:0\.9:0\.3"),
        ("0:1.5:0.5", "1.5 lies outside 0 to 1"),
        ("0.5,nan", "NaN lies outside 0 to 1"),
        ("-0.1", "-0.1 lies outside"),
        ("0.5,0.50", "names a value twice"),
        ("0:1:0.0001", "more than 1001 values"),
    ],
)
def test_nonsense_is_refused(text, told):
    with pytest.raises(SettingsError, match=told):
        parse_grid(text, "--m2")


def test_the_generator_is_averaged_or_taken_from_others():
    pair = Pair(0.9, 0.5)
    assert set(part_coefficients(pair, "average").values()) == {pair}
    last = part_coefficients(pair, "last")
    assert last.pop("generator") == (0.9, 1.0) and set(last.values()) == {pair}


def test_points_that_are_one_merge_are_measured_once():
    pairs = [Pair(m1, m2) for m2 in (0.0, 0.5, 1.0) for m1 in (0.0, 0.5, 1.0)]
    found = same_merges(pairs, ["blocks", "generator"], "average")
    assert {pair for pair in pairs if found[pair] != pair} == {Pair(0.5, 1.0), Pair(1.0, 1.0)}
    assert found[Pair(0.5, 1.0)] == found[Pair(1.0, 1.0)] == Pair(0.0, 1.0)


def test_where_only_the_generator_differs_and_is_taken_from_others_all_points_are_one():
    pairs = [Pair(0.0, 0.0), Pair(0.5, 0.5), Pair(1.0, 0.0)]
    assert set(same_merges(pairs, ["generator"], "last").values()) == {pairs[0]}
    assert set(same_merges(pairs, ["blocks", "generator"], "last").values()) == set(pairs)
