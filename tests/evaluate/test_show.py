"""Guesses on the screen."""

from pathlib import Path

import pytest
from rich.console import Console

from geolangbind.evaluate.classify import Guess
from geolangbind.evaluate.show import render_guesses, summary


def guess(label, truth=None, window=None, name="a.tif"):
    scores = tuple(0.7 if label == name else share for name, share in (("forest", 0.1), ("river", 0.2), ("town", 0.1)))
    return Guess(Path("x") / name, window, label, scores, truth, ("sentinel-2-l2a", "reflectance"))


def shown(table):
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_columns_appear_when_there_is_something_to_show():
    classes = ["forest", "river", "town"]
    plain = shown(render_guesses([guess("forest")], classes))
    assert "truth" not in plain and "window" not in plain and "0.70" in plain and "river 0.20, town 0.10" in plain
    full = shown(render_guesses([guess("forest", "river", (0, 64, 64, 64))], classes))
    assert "truth" in full and "0, 64, 64, 64" in full
    assert "... and 5 more; --json keeps them all" in shown(render_guesses([guess("forest")] * 45, classes))


def test_summary_of_one_image_is_how_it_was_read():
    assert list(summary([guess("forest")])) == ["read as: sentinel-2-l2a; reflectance"]


def test_summary_counts_labels_and_scores_against_the_truth():
    rows = [guess("forest", "forest")] * 8 + [guess("river", "forest")] * 2
    told = list(summary(rows))
    assert told[1] == "labels: forest 80%, river 20%"
    # 8 of 10: the Wilson interval of the statistics books
    assert told[2] == "accuracy 80.0% (8 of 10), 95 % Wilson interval 49.0% to 94.3%"


@pytest.mark.parametrize("truth", [None, "forest"])
def test_a_truth_is_not_demanded_of_every_image(truth):
    told = list(summary([guess("forest", truth), guess("river")]))
    assert [line.split()[0] for line in told] == ["read", "labels:"] + (["accuracy"] if truth else [])
