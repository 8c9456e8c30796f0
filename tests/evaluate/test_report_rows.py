"""Rows of several folders: the newest counts, names are short, details are found."""

import json
from dataclasses import replace

import pytest

from geolangbind.errors import DataError
from geolangbind.evaluate.report_rows import model_names, newest_rows, read_details
from geolangbind.evaluate.results import append_rows


def test_the_newest_row_of_each_kind_counts_whatever_the_order_of_the_folders(tmp_path, row):
    old, new = row(0.4, date="2026-01-01"), row(0.6, date="2026-01-02", model_sha256="e" * 64, prompts="def")
    append_rows(tmp_path / "one/results.jsonl", [new, row(0.7, metric="top5")])
    append_rows(tmp_path / "two/results.jsonl", [old])
    for folders in ("one", "two"), ("two", "one"):
        found = newest_rows([tmp_path / name for name in folders])
        assert sorted(each.value for each in found) == [0.6, 0.7]


@pytest.mark.parametrize(
    "other", [{"model": "b"}, {"revision": "s"}, {"modality": "sar"}, {"bands": "B02"}, {"settings": "1"}, {"suite": "s"}]
)
def test_rows_that_differ_in_what_was_measured_both_stay(tmp_path, row, other):
    append_rows(tmp_path / "results.jsonl", [row(), row(**other)])
    assert len(newest_rows([tmp_path])) == 2


def test_rows_of_before_there_were_tasks_can_be_read(tmp_path, row):
    told = {key: value for key, value in vars(row()).items() if key not in ("task", "settings", "published", "id", "source")}
    (tmp_path / "results.jsonl").write_text(json.dumps(told) + "\n")
    assert newest_rows([tmp_path]) == [row()]


def test_published_rows_of_a_suite_stand_beside_the_measured_ones(tmp_path, row):
    append_rows(tmp_path / "results.jsonl", [row(suite="geolangbind_23", dataset="aid", modality="rgb")])
    first, *others = newest_rows([tmp_path])
    assert not first.published and others and all(each.published and each.source for each in others)
    assert [each.value for each in others if each.model == "GeoLangBind-B-224" and each.dataset == "aid"] == [pytest.approx(0.776)]


def test_a_folder_without_results_says_what_to_run(tmp_path):
    with pytest.raises(DataError, match=r"has no results in results\.jsonl; run `geolangbind-evaluate"):
        newest_rows([tmp_path])


def test_details_are_found_in_any_of_the_folders(tmp_path, row):
    folders = [tmp_path / "one", tmp_path / "two"]
    (tmp_path / "two/details").mkdir(parents=True)
    (tmp_path / "two/details/x.json").write_text('{"classes": ["a"]}')
    assert read_details(folders, row(id="x")) == {"classes": ["a"]}
    assert read_details(folders, row()) == read_details(folders, row(id="gone")) == {}
    (tmp_path / "two/details/x.json").write_text("{")
    with pytest.raises(DataError, match=r"x\.json is damaged"):
        read_details(folders, row(id="x"))


def test_names_of_models_are_as_short_as_they_can_be_told_apart(row, published):
    rows = [row(model=model) for model in ("runs/one/merged", "runs/two/merged", "runs/base/", "hf-hub:me/clip")]
    assert list(model_names(rows).values()) == ["one/merged", "two/merged", "base", "clip"]
    assert model_names([replace(published(0.5), model="a/b")]) == {("a/b", True): "a/b"}
