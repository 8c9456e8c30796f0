"""Rows on disk and on the screen."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest
from rich.console import Console

from geolangbind.errors import DataError
from geolangbind.evaluate.results import ResultRow, append_rows, read_rows, render

ROW = ResultRow(
    "runs/m", "ab12", "zero_shot", "shards", "f00", "sentinel-2-tci", "R,G,B", "rgb", "top1", 0.625, 8, 1 / 24, 0.3057, 0.8632,
    "c0ffee", True, "cmd", "2026-01-01T00:00:00+00:00",
)  # fmt: skip


def test_rows_come_back_and_are_never_overwritten(tmp_path):
    path = tmp_path / "new" / "results.jsonl"
    append_rows(path, [ROW, replace(ROW, modality="sar", value=0.0)])
    append_rows(path, [replace(ROW, command='geolangbind-evaluate "model=ä\n"')])
    rows = read_rows(path)
    assert rows == [ROW, replace(ROW, modality="sar", value=0.0), replace(ROW, command='geolangbind-evaluate "model=ä\n"')]


def test_writers_at_the_same_time_do_not_mix(tmp_path):
    path = tmp_path / "results.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: append_rows(path, [replace(ROW, n=n, command="x" * 5000)] * 5), range(20)))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["n"] for row in rows] == [row["n"] for row in rows[::5] for _ in range(5)] and len(rows) == 100
    assert set(rows[0]) == set(asdict(ROW))


def lines_of(rows, title=""):
    """Lines of the terminal table that hold something, in words."""
    console = Console(width=120)
    with console.capture() as captured:
        console.print(render(rows, title))
    lines = [line.replace("│", " ").replace("┃", " ").split() for line in captured.get().splitlines()]
    return [line for line in lines if line and line[0][0] not in "┏┡└"]


def test_the_table_is_in_percent_with_a_column_per_modality():
    lines = lines_of([ROW, replace(ROW, modality="sar", value=0.1, low=0.05, high=0.2, n=9, chance=0.1)], "zero_shot, runs/m")
    assert " ".join(lines[0]).startswith("zero_shot, runs/m;")
    assert lines[-3:] == [
        ["metric", "rgb", "sar", "chance", "n"],
        ["top1", "62.5", "10.0", "4.2-10.0", "8-9"],
        ["31-86", "5-20"],
    ]


def test_metrics_tasks_and_data_sets_have_lines_of_their_own():
    rows = [ROW, replace(ROW, metric="ece", low=None, chance=None), replace(ROW, dataset="other", modality="sar")]
    lines = lines_of([*rows, replace(ROW, task="cross_sensor", metric="r1", modality="sar->rgb")])
    assert [line[:2] for line in lines if line[0] in ("dataset", "shards", "other")] == [
        ["dataset", "metric"], ["shards", "top1"], ["shards", "ece"], ["other", "top1"],
    ]  # fmt: skip


def test_rows_of_before_and_half_rows(tmp_path):
    """Rows of older versions lack fields; a killed process leaves half a line, which the next one must not write on."""
    path = tmp_path / "results.jsonl"
    old = {key: value for key, value in asdict(ROW).items() if key not in ("task", "settings", "published", "id", "source")}
    path.write_text(json.dumps(old) + "\n" + '{"model": "runs/m", "val')
    assert read_rows(path) == [ROW]
    append_rows(path, [replace(ROW, value=0.5)])
    assert read_rows(path) == [ROW, replace(ROW, value=0.5)]
    path.write_text("nonsense\n" + json.dumps(old) + "\n")
    with pytest.raises(DataError, match=r"results\.jsonl, line 1: no result row .*; remove the line, and it is measured again"):
        read_rows(path)
    assert read_rows(tmp_path / "none.jsonl") == []


def test_a_full_disk_leaves_no_half_rows(tmp_path, monkeypatch):
    path = tmp_path / "results.jsonl"
    append_rows(path, [ROW])

    def full(_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(os, "fsync", full)
        append_rows(path, [ROW, ROW])
    assert read_rows(path) == [ROW]
