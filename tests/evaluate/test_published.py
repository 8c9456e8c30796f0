"""Published figures add up as the publications print them."""

import pytest

from geolangbind.evaluate.published import published_rows
from geolangbind.evaluate.report_tables import averages_of, make_tables, table_title
from geolangbind.evaluate.suite import parse_suite
from geolangbind.hydra_entry import compose


@pytest.fixture(scope="module")
def suite():
    return parse_suite(compose("evaluate", ["suite=geolangbind_23"])["suite"])


def means(rows, columns):
    return {key: cell.value for key, cell in averages_of(rows, columns).items()}


def test_rows_are_flagged_and_say_where_from(suite):
    rows = published_rows("geolangbind_23")
    assert len(rows) == 14 * 12 + 2 + 2 and all(row.published and row.source and not row.id and 0 < row.value < 1 for row in rows)
    named = {row.dataset for row in rows} - {"printed-average", "mados"}
    assert named <= {dataset.name for dataset in suite.datasets}
    assert published_rows("planet") == []


def test_printed_averages_are_over_seven_columns_for_others_and_over_eight_for_geolangbind(suite):
    rows = published_rows("geolangbind_23")
    found = means(rows, suite.averages)
    printed = {row.model: row.value for row in rows if row.dataset == "printed-average"}
    assert len(printed) == 14
    for model, value in printed.items():
        kind = "all_8" if model.startswith("GeoLangBind") else "out_of_domain_7"
        differs = model in ("RemoteCLIP (large)", "CLIP-laion-RS (large)", "SkyCLIP-20 (large)", "SkyCLIP-30 (large)")
        assert found[model, kind] == pytest.approx(value, abs=2e-3 if differs else 1.5e-4), model


@pytest.mark.parametrize(
    ("base", "geolangbind", "seven", "eight"),
    [("SkyCLIP-50 (base)", "GeoLangBind-B-224", (0.5303, 0.5834), (0.5302, 0.5985)),
     ("SkyCLIP-50 (large)", "GeoLangBind-L-384", (0.5993, 0.6268), (0.6130, 0.6445))],
)  # fmt: skip
def test_like_for_like(suite, base, geolangbind, seven, eight):
    found = means(published_rows("geolangbind_23"), suite.averages)
    assert [found[model, "out_of_domain_7"] for model in (base, geolangbind)] == pytest.approx(seven, abs=6e-5)
    assert [found[model, "all_8"] for model in (base, geolangbind)] == pytest.approx(eight, abs=6e-5)


def test_an_average_needs_all_its_columns():
    rows = [row for row in published_rows("geolangbind_23") if row.dataset != "aid"]
    assert not means(rows, {"two": ["aid", "fmow"]})
    assert means(rows, {"one": ["fmow"]})["GeoLangBind-B-224", "one"] == pytest.approx(0.2017)


def test_a_metric_that_the_publication_does_not_name_is_told_as_such():
    titles = [table_title(table) for table in make_tables(published_rows("geolangbind_23")) if table.task == "segmentation"]
    assert titles == ["metric not named, % · suite geolangbind_23"]
