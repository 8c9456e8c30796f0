"""Tables: who stands beside whom, who is best, what an average is."""

import math

import pytest

from geolangbind.evaluate.report_tables import averages_of, column_title, make_tables, metric_title, table_title


def cells(table):
    return {line.model: [cell and cell.value for cell in line.cells] for line in table.lines}


def bold(table):
    return {line.model: [bool(cell and cell.best) for cell in line.cells] for line in table.lines}


def test_models_stand_side_by_side(row):
    (table,) = make_tables([row(0.5), row(0.6, modality="sar"), row(0.7, model="b")])
    assert cells(table) == {"a": [0.5, 0.6], "b": [0.7, None]}
    assert [(column.modality, column.chance, column.n) for column in table.columns] == [("msi", 0.1, 100), ("sar", 0.1, 100)]


def test_tables_come_in_the_order_of_the_tasks_one_per_metric(row):
    rows = [row(task="unheard_of"), row(task="knn"), row(metric="top5"), row()]
    assert [(table.task, table.metric) for table in make_tables(rows)] == [
        ("zero_shot", "top5"), ("zero_shot", "top1"), ("knn", "top1"), ("unheard_of", "top1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0.5, 0.45, 0.55), (0.6, 0.56, 0.64)], [False, True]),  # apart
        ([(0.5, 0.45, 0.55), (0.6, 0.54, 0.64)], [False, False]),  # they overlap
        ([(0.5, None, None), (0.9, 0.8, 0.95)], [False, False]),  # nobody knows how far 0.5 may be off
        ([(0.9, None, None), (0.5, 0.45, 0.55)], [False, False]),
        ([(0.9, 0.8, 0.95)], [False]),  # alone
    ],
)
def test_the_best_is_bold_only_where_intervals_lie_apart(row, spans, expected):
    rows = [row(value, low=low, high=high, model=f"m{number}") for number, (value, low, high) in enumerate(spans)]
    (table,) = make_tables(rows)
    assert bold(table) == {f"m{number}": [best] for number, best in enumerate(expected)}


def test_no_model_is_best_where_more_is_not_better(row):
    (table,) = make_tables([row(0.1, metric="ece"), row(0.9, metric="ece", model="b")])
    assert bold(table) == {"a": [False], "b": [False]}
    assert not table.percent


def test_data_of_two_revisions_never_share_a_column(row):
    (table,) = make_tables([row(0.5), row(0.6, model="b", revision="s" * 64)])
    assert cells(table) == {"a": [0.5, None], "b": [None, 0.6]}
    assert [column_title(column, table) for column in table.columns] == ["planet MSI rrrrrrrr", "planet MSI ssssssss"]


def test_band_sets_of_one_dataset_are_named(row):
    (table,) = make_tables([row(bands="B02 B03"), row(bands=" ".join(f"B{i}" for i in range(9)))])
    assert [column_title(column, table) for column in table.columns] == ["planet MSI B02 B03", "planet MSI 9 bands"]


def test_published_figures_stand_in_the_column_of_their_dataset(row, published):
    eurosat = {"dataset": "eurosat", "modality": "rgb"}
    rows = [row(0.5, settings="5e77", **eurosat), published(0.4, **eurosat), published(0.3, dataset="aid", modality="rgb")]
    (table,) = make_tables(rows)  # publications tell no settings, no bands and no revision
    assert cells(table) == {"a": [0.5, None], "CLIP": [0.4, 0.3]}
    assert [line.published for line in table.lines] == [False, True]
    assert [(column.dataset, column.chance, column.n) for column in table.columns] == [("eurosat", 0.1, 100), ("aid", None, None)]


def test_averages_both_ways_and_their_interval(row, published):
    """B-224's published columns average to 58.34 over the seven out-of-domain data sets and to 59.85 over all eight."""
    columns = {
        "skyscript": 70.39, "aid": 77.60, "eurosat": 52.30, "fmow": 20.17, "million_aid": 64.91, "patternnet": 76.68, "resisc45": 67.21,
        "rsi_cb256": 49.53,
    }  # fmt: skip
    names = list(columns)
    theirs = [published(value / 100, dataset=name) for name, value in columns.items()]
    ours = [row(0.5, dataset=name, low=0.4, high=0.7) for name in names[1:]]
    (table,) = make_tables([*theirs, *ours], {"planet": {"out_of_domain": names[1:], "all": names, "never": ["gone"]}})
    by_title = {column_title(column, table): number for number, column in enumerate(table.columns)}
    clip, own = ([line.cells[by_title[name]] for name in ("out of domain", "all")] for line in table.lines)
    assert "never" not in by_title
    assert [round(100 * cell.value, 2) for cell in clip] == [58.34, 59.85]
    assert [cell.low for cell in clip] == [None, None]
    assert own[1] is None, "one of the eight was not measured"
    assert (own[0].value, own[0].low) == (pytest.approx(0.5), pytest.approx(0.5 - 0.1 / math.sqrt(7)))
    assert own[0].high == pytest.approx(0.5 + 0.2 / math.sqrt(7))
    assert table.columns[by_title["out of domain"]].chance == pytest.approx(0.1)


def test_averages_alone_are_of_zero_shot_accuracies(row):
    rows = [row(0.5, dataset="one"), row(0.7, dataset="two"), row(0.9, dataset="one", metric="top5"), row(0.9, dataset="one", task="knn")]
    found = averages_of([*rows, row(0.9, dataset="two", task="knn")], {"both": ["one", "two"]})
    assert {key: cell.value for key, cell in found.items()} == {("a", "both"): pytest.approx(0.6)}


def test_titles_say_what_they_are_about(row):
    (table,) = make_tables([row(synthetic=True)])
    assert table_title(table) == "top-1, % · suite planet · synthetic data"
    assert [metric_title(name) for name in ("image_to_text_r10", "linear_miou", "mean_recall")] == [
        "image to text R@10", "linear mIoU", "mean recall",
    ]  # fmt: skip
