"""The matrix of models by dataset."""

import pytest
from matplotlib.colors import to_hex

from geolangbind.evaluate.pictures.matrix import above_chance, draw_matrix
from geolangbind.evaluate.report_tables import make_tables


@pytest.mark.parametrize(
    ("value", "chance", "expected"), [(0.1, 0.1, 0), (1, 0.1, 1), (0.55, 0.1, 0.5), (0.0, 0.5, -1), (0.4, None, 0.4), (1, 1, 0)]
)
def test_zero_is_chance_and_one_is_perfect(value, chance, expected):
    assert above_chance(value, chance) == pytest.approx(expected)


def test_cells_show_percent_colours_run_from_chance_and_published_rows_are_marked(row, published):
    easy, hard = {"dataset": "easy", "chance": 0.5}, {"dataset": "hard", "chance": 0.0}
    tables = make_tables([row(0.75, **easy), row(0.5, **hard), published(0.625, dataset="easy", modality="msi")])
    figure = draw_matrix(tables)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["75.0", "50.0", "62.5"]
    assert axes.images[0].get_array().filled(-9).tolist() == [[0.5, 0.5], [0.25, -9]]
    assert [(label.get_text(), label.get_style()) for label in axes.get_yticklabels()] == [("a", "normal"), ("CLIP (published)", "italic")]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["easy MSI", "hard MSI"]
    assert to_hex(axes.images[0].cmap(0.0)) == "#440154"  # viridis


def test_each_task_has_a_panel(row):
    figure = draw_matrix(make_tables([row(), row(task="knn"), row(task="retrieval", metric="mean_recall")]))
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.images]
    assert titles == [
        "Zero-shot classification · top-1, % · suite planet",
        "Retrieval between images and texts · mean recall, % · suite planet",
        "Nearest neighbours · top-1, % · suite planet",
    ]
