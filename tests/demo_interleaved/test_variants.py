"""Changed rows: places move alike wherever they are named, and truth stays what it was."""

import numpy as np
import pytest

from geolangbind.demo_interleaved.variants import noisy, uninstructed, uninstructed_ranking
from geolangbind.instruct.rows import RankingRow, Row
from geolangbind.interleaved.segments import GeoPoint, Text

HERE = GeoPoint(60.0, 179.99)


def test_a_place_moves_by_degrees_on_the_ground() -> None:
    rows = [Row(str(n), "", (GeoPoint(60.0, n / 10),), (Text("x"),)) for n in range(1000)]
    moved = [noisy(row, 0.1).query[0] for row in rows]
    north = np.array([point.lat - 60 for point in moved])
    east = np.array([point.lon - n / 10 for n, point in enumerate(moved)]) / 2  # a degree of longitude is half as long at 60 degrees
    assert north.std() == pytest.approx(0.1, rel=0.1)
    assert east.std() == pytest.approx(0.1, rel=0.1)
    assert abs(north.mean()) < 0.015


def test_it_moves_alike_everywhere_and_the_truth_stays() -> None:
    row = Row("a", "", (Text("where"), HERE), (HERE,), true=frozenset({"other"}))
    found = noisy(row, 1.0)
    assert found.query[1] == found.target[0] != HERE
    assert -180 <= found.target[0].lon <= 180
    assert (found.target_key, found.true, found.query[0]) == (row.target_key, row.true, Text("where"))


def test_no_word_of_what_is_asked() -> None:
    row = uninstructed(Row("a", "Find it.", (HERE,), (Text("x"),), "A thing."))
    assert (row.instruction, row.target_instruction, row.query) == ("", "", (HERE,))
    ranked = uninstructed_ranking(RankingRow("a", "Find it.", (HERE,), ((Text("x"),), (Text("y"),)), (0,), "A thing."))
    assert (ranked.instruction, ranked.candidate_instruction) == ("", "")
