"""The table: figures over seeds, verdicts by hand, and honest gaps."""

import io

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from geolangbind.demo_interleaved.bars import plot_table
from geolangbind.demo_interleaved.goals import CUT, OURS, Goal, Line
from geolangbind.demo_interleaved.table import NOTE, markdown, measure_lines, terminal
from geolangbind.errors import DataError
from geolangbind.instruct.ranking import Standings


def standings(hits, chance=0.1, name="q", candidates=10):
    hits = np.asarray(hits, float)
    ids = tuple(f"{name}{n}" for n in range(len(hits)))
    values = np.column_stack([hits, hits, hits])
    return Standings(ids, ("g",) * len(hits), ids, values, np.full_like(values, chance), np.full(len(hits), candidates))


def share(of, count=200):
    """Hits in the first `of` percent of the queries."""
    return [number < of * count / 100 for number in range(count)]


def shown(goal, ours=60, theirs=30, tasks=("t",)):
    lines = [Line("task", OURS, ("t",)), Line("task", CUT, tasks, goal)]
    return measure_lines(lines, {("t", OURS): [standings(share(ours))], ("t", CUT): [standings(share(theirs))]})[-1]


@pytest.mark.parametrize(
    ("goal", "theirs", "verdict"),
    [
        (Goal("ahead", 0.2), 30, "reached"),
        (Goal("ahead", 0.3), 30, "reached, open"),
        (Goal("ahead", 0.32), 30, "missed, open"),
        (Goal("ahead", 0.5), 30, "missed"),
        (Goal("ahead"), 60, "missed"),
        (Goal("beyond"), 55, "reached"),
        (Goal("beyond"), 59.5, "missed"),
        (Goal("within", 0.02), 60, "reached"),
        (Goal("within", 0.02), 80, "missed"),
        (Goal("times", 2), 20, "reached"),
        (Goal("times", 2), 40, "missed"),
    ],
)
def test_verdicts(goal, theirs, verdict):
    found = shown(goal, 60, theirs)
    assert found.verdict == verdict
    assert found.lead[0] == pytest.approx(0.6 - theirs / 100)
    assert found.lead[1] <= found.lead[0] <= found.lead[2]


@pytest.mark.parametrize(("of", "verdict"), [(80, "reached"), (20, "missed")])
def test_against_chance_the_line_is_its_own_measure(of, verdict):
    (found,) = measure_lines([Line("change", OURS, ("t",), Goal("chance", 5))], {("t", OURS): [standings(share(of))]})
    assert (found.verdict, found.lead, found.chance) == (verdict, None, pytest.approx(0.1))


def test_seeds_are_averaged_and_their_ends_shown():
    results = {("t", OURS): [standings(share(of)) for of in (50, 60, 70)]}
    (found,) = measure_lines([Line("task", OURS, ("t",))], results)
    assert (found.value, found.seeds, found.runs, found.queries) == (pytest.approx(0.6), (0.5, 0.7), 3, 200)
    assert found.interval[0] < 0.6 < found.interval[1]
    assert (found.lead, found.wanted, found.verdict) == (None, "", "")


def test_a_task_named_twice_counts_twice():
    results = {("a", OURS): [standings(share(100))], ("b", OURS): [standings(share(0), name="r", candidates=5)]}
    (found,) = measure_lines([Line("mix", OURS, ("a", "a", "b"))], results)
    assert (found.value, found.candidates) == (pytest.approx(2 / 3), (5, 10))
    single = measure_lines([Line("mix", OURS, ("a", "b"))], results)[0].interval
    assert np.ptp(found.interval) == pytest.approx(np.ptp(single), rel=0.25)  # and does not pass for more queries than there are


def test_ours_on_another_ranking_of_the_same_rows_can_be_what_is_compared():
    results = {("rgb", OURS): [standings(share(60))], ("sar", OURS): [standings(share(52))]}
    (found,) = measure_lines([Line("SAR in RGB", OURS, ("rgb",), Goal("within", 0.1, ("sar",)))], results)
    assert (found.verdict, found.lead[0]) == ("reached, open", pytest.approx(-0.08))


def test_what_was_not_measured_is_left_out_and_what_cannot_be_compared_is_refused():
    lines = [Line("task", OURS, ("t",)), Line("task", CUT, ("t",), Goal("ahead", 0.2))]
    (alone,) = measure_lines(lines, {("t", CUT): [standings(share(50))]})
    assert (alone.model, alone.wanted, alone.verdict) == (CUT, "ahead by >= 20 points", "")
    with pytest.raises(DataError, match="same rows"):
        measure_lines(lines, {("t", OURS): [standings(share(50))], ("t", CUT): [standings(share(50), name="other")]})


def test_markdown_terminal_and_picture_say_that_it_is_synthetic(tmp_path):
    lines = [Line("task", OURS, ("t",)), Line("task", CUT, ("t",), Goal("ahead", 0.2))]
    rows = measure_lines(lines, {("t", OURS): [standings(share(60))] * 3, ("t", CUT): [standings(share(30))]})
    text = markdown(rows)
    assert "**synthetic**" in text[0]
    assert text[-1] == NOTE
    cells = [cell.strip() for cell in text[5].split("|")]
    assert cells[1:5] == ["task", CUT, "30.0", "one"]
    assert cells[6:9] == ["10.0", "10", "200"]
    assert cells[9].startswith("+30.0 (+2")
    assert cells[10:12] == ["ahead by >= 20 points", "reached"]
    console = Console(file=io.StringIO(), width=200)
    console.print(terminal(rows, "the interleaved demo"))
    told = console.file.getvalue()
    assert "synthetic" in told
    assert "60.0-60.0 (3)" in told
    plot_table(tmp_path / "bars.png", rows)
    assert matplotlib.image.imread(tmp_path / "bars.png").std() > 0.05
