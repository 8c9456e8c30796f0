"""What curves and grids show, read back from the figures."""

import numpy as np
import pytest

from geolangbind.evaluate.pictures.curves import Shot, draw_confusion, draw_few_shot, draw_reliability


def test_few_shot_curves_rise_with_the_shots_and_bear_their_band():
    points = [Shot(4, 0.6, 0.5, 0.7, 0.1), Shot(1, 0.2, 0.1, 0.3, 0.1)]
    figure = draw_few_shot({"rgb": {"a": points}, "sar": {"a": [Shot(1, 0.3)], "b": points}})
    first, second = figure.axes
    assert first.lines[0].get_xydata().tolist() == [[1, 20], [4, 60]]
    assert first.lines[1].get_ydata()[0] == 10, "chance"
    band = first.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (10, 70)
    assert first.lines[0].get_color() == second.lines[0].get_color() != second.lines[1].get_color()
    assert len(second.collections) == 1, "a curve without intervals has no band"
    assert [axes.get_title() for axes in figure.axes] == ["RGB", "SAR"]


def test_reliability_tells_the_calibration_error():
    bins = [{"confidence": 0.5, "accuracy": 0.4, "n": 30}, {"confidence": 0.9, "accuracy": 0.6, "n": 10}]
    (axes,) = draw_reliability({"planet RGB": {"$m$": bins}}).axes
    (label,) = [text.get_text() for text in axes.get_legend().get_texts()]
    assert label == r"\$m\$: ECE 15.0 %"  # (30 x 0.1 + 10 x 0.3) / 40
    assert axes.lines[1].get_xydata() == pytest.approx(np.array([[50, 40], [90, 60]]))
    small, large = sorted(axes.collections[0].get_sizes())
    assert small < large


def test_confusion_is_told_in_percent_of_the_true_class():
    figure = draw_confusion(["sea_lake", "b", "never"], [[3, 1, 0], [0.1, 9.9, 0], [0, 0, 0]])
    axes = figure.axes[0]
    assert axes.images[0].get_array().filled() == pytest.approx(np.array([[75, 25, 0], [1, 99, 0], [0, 0, 0]]))
    assert [text.get_text() for text in axes.texts] == ["75", "25", "99"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sea lake", "b", "never"]
