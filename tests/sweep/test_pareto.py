"""Best, Pareto front and paired differences, against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geolangbind.sweep.grid import Pair
from geolangbind.sweep.pareto import best_of, difference, pareto_front
from geolangbind.sweep.points import Point
from geolangbind.sweep.validation import Score


def point(number, *shares):
    scores = {f"m{i}": Score(float(share), 1, 0.0, 1.0, np.zeros(1, bool)) for i, share in enumerate(shares)}
    return Point(Pair(number / 1000, 0.5), scores)


def test_front_by_hand():
    a, b, c, d, e = points = [point(i, *row) for i, row in enumerate([(0.9, 0.1), (0.5, 0.5), (0.4, 0.5), (0.1, 0.8), (0.1, 0.8)])]
    assert pareto_front(points) == [a, b, d, e]  # c is beaten by b; equals do not beat each other
    assert c not in pareto_front(points)
    assert best_of(points) is a and best_of([b, a]) is b  # equal means: the first


@given(arrays(np.int8, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.integers(0, 3)))
def test_front_against_the_definition(table):
    points = [point(i, *row) for i, row in enumerate(table / 4)]
    front = pareto_front(points)
    for row, candidate in zip(table.tolist(), points, strict=True):
        beaten = any(all(x >= y for x, y in zip(other, row, strict=True)) and other != row for other in table.tolist())
        assert (candidate in front) != beaten
    assert [p.mean for p in front] == sorted((p.mean for p in front), reverse=True)
    assert max(p.mean for p in points) == front[0].mean


def paired(right_of_modality):
    return Point(
        Pair(0.5, 0.5), {name: Score(float(np.mean(r)), len(r), 0.0, 1.0, np.array(r, bool)) for name, r in right_of_modality.items()}
    )


def test_differences_are_paired():
    # 100 images: 12 only a has right, 4 only b; share (12 - 4) / 100, variance of the change (16 / 100 - 0.08^2)
    a, b = np.zeros(100, bool), np.zeros(100, bool)
    a[:62], b[12:62], b[62:66] = True, True, True
    found = difference(paired({"rgb": a}), paired({"rgb": b}))
    assert found.share == pytest.approx(0.08)
    assert found.half == pytest.approx(1.959964 * np.sqrt((0.16 - 0.0064) / 100), rel=1e-6)
    assert not found.within_chance
    # a second modality without any change halves both
    both = difference(paired({"rgb": a, "dem": b}), paired({"rgb": b, "dem": b}))
    assert both == pytest.approx((found.share / 2, found.half / 2))


def test_equal_points_do_not_differ():
    a = paired({"rgb": [True, False]})
    assert difference(a, a) == (0, 0) and difference(a, a).within_chance
