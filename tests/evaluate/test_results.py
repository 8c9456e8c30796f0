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


def test_the_table_is_in_percent():
    console = Console(record=True, width=120, file=None, quiet=False)
    with console.capture() as captured:
        console.print(render([ROW], "zero_shot, runs/m"))
    told = captured.get()
    assert "zero_shot, runs/m" in told and all(cell in told for cell in ("rgb", "sentinel-2-tci", "62.5", "30.6-86.3", "4.2", " 8 "))


def test_several_metrics_and_data_sets_are_told_apart():
    rows = [ROW, replace(ROW, metric="ece", low=None, chance=None), replace(ROW, dataset="other")]
    console = Console(width=120)
    with console.capture() as captured:
        console.print(render(rows, "all"))
    told = captured.get()
    assert all(cell in told for cell in ("dataset", "metric", "top1", "ece", "value %", "other")) and "task" not in told


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
