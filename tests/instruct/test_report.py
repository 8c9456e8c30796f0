"""The report after a run, and its picture."""

import json

import numpy as np
from PIL import Image

from geolangbind.instruct.reading import Chosen
from geolangbind.instruct.report import report_lines, write_report
from geolangbind.instruct.run import train

SOURCES = (Chosen("boxes", np.arange(30), 3.0, 4), Chosen("places", np.arange(1200), 1.0))


def row(step, **more):
    return {
        "step": step, "sources": "boxes, places", "loss": 4.0 / step, "temperature": 0.05, "gradient_norm": 0.5, "lr": 1e-3,
        "samples_per_s": 8.0, "data_wait": 0.01, **more,
    }  # fmt: skip


def held(step, source, precision):
    return {"step": step, "averaged": False, "source": source, "n": 60, "candidates": 50, "precision_1": precision,
            "precision_1_chance": 0.02, "seconds": 1.5}  # fmt: skip


def test_figures_of_the_report(settings_for):
    """Batches of 8 draws at 8 a second are a second a step; the last tenth of 20 steps is two of them."""
    rows = [row(step) for step in range(1, 21)]
    validation = [held(step, source, value) for step, source, value in ((10, "boxes", 0.5), (20, "boxes", 0.25), (20, "places", 0.03))]
    text = "\n".join(report_lines(settings_for(), SOURCES, rows, validation))
    assert "20 steps of 8 draws in 20.0 s, 1.0% of it waiting for data. Validation took 4.5 s more." in text
    assert f"Loss {(4 / 19 + 4 / 20) / 2:.4f} over the last tenth of the steps, temperature 0.0500 at the end." in text
    assert "| boxes | 25.0, best 50.0 at 10 | 2.0 | 60 | 50 |" in text and "| places | 3.0 | 2.0 | 60 | 50 |" in text
    assert "| boxes | 30 | 75.0% | 4 |" in text and "| places | 1,200 | 25.0% | 1 |" in text
    assert "Nothing stood out" in text


def test_notes(settings_for, pairs_folder):
    rows = [row(step, data_wait=0.5, gradient_norm=3.0) for step in range(1, 5)]
    text = "\n".join(report_lines(settings_for(validation={"pairs": str(pairs_folder)}), SOURCES, rows, []))
    assert "**Note:** 50% of the time went into waiting for data" in text and "**Note:** 100% of the steps were clipped" in text
    assert "**Note:** The held-out pairs are the training pairs" in text and "## Held-out" not in text


def picture_size(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return picture.size


def test_a_run_leaves_its_report(settings_for, tmp_path, pairs_folder):
    train(settings_for(steps=2, report=True, validation={"pairs": str(pairs_folder), "samples": 4}))
    assert "2 steps of 8 draws" in (tmp_path / "run" / "report.md").read_text()
    assert min(picture_size(tmp_path / "run" / "curves.png")) > 300


def test_several_validations_are_lines(settings_for, tmp_path):
    """Where one gives bars."""
    run = tmp_path / "run"
    run.mkdir()
    logs = {"metrics.jsonl": [row(1), row(2)], "validation.jsonl": [held(1, "boxes", 0.3), held(2, "boxes", 0.1)]}
    for name, rows in logs.items():
        (run / name).write_text("".join(json.dumps(one) + "\n" for one in rows))
    write_report(settings_for(), SOURCES)
    assert "10.0, best 30.0 at 1" in (run / "report.md").read_text()
    assert min(picture_size(run / "curves.png")) > 300


def test_no_step_no_report(settings_for, tmp_path):
    write_report(settings_for(), SOURCES)
    assert not (tmp_path / "run").exists()
