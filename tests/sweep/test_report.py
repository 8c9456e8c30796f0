"""The outcome in words, tables, JSON and the picture, on a made-up grid."""

import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from geolangbind.sweep.grid import Pair
from geolangbind.sweep.plot import plot
from geolangbind.sweep.points import Point
from geolangbind.sweep.report import Report, findings, render, rows, write_report
from geolangbind.sweep.validation import Score

N = 400


def score(share):
    right = np.arange(N) < round(share * N)
    return Score(float(right.mean()), N, share - 0.05, share + 0.05, right)


def made(m1, m2, value, synthetic=True):
    """A report whose point (m1, m2) has the scores value(m1, m2); the row m2 = 1 is one point."""
    points = {}
    for y in m2:
        for x in m1:
            points[Pair(x, y)] = (
                points[Pair(m1[0], 1.0)] if y == 1 and x != m1[0] else Point(Pair(x, y), {k: score(v) for k, v in value(x, y).items()})
            )
    inputs = {"generator": "average", "data": {"path": "planet-tune"}}
    return Report(m1, m2, points, inputs, synthetic, "geolangbind sweep", len(points), 12.34)


@pytest.fixture
def report():
    # rgb falls with m2, dem rises more: the best mean is at (0.9, 1), each corner of m1 = 0.9 is on the front
    return made((0.0, 0.9), (0.0, 0.5, 1.0), lambda m1, m2: {"rgb": 0.5 + 0.2 * m1 - 0.1 * m2, "dem": 0.2 + 0.5 * m2})


def test_tables_have_m2_down_and_m1_across(report):
    assert report.table("rgb").shape == (3, 2) and report.table("rgb")[0].tolist() == [0.5, 0.68]
    assert report.table()[1, 1] == pytest.approx((score(0.63).top1 + score(0.45).top1) / 2)
    assert np.array_equal(report.table(), (report.table("rgb") + report.table("dem")) / 2)
    assert len(report.unique) == 5 and report.modalities == ("rgb", "dem")


def test_points_are_named_by_what_they_are(report):
    named = {what: report.name(point) for what, point in rows(report)}
    assert named == {"best mean, others, front": "any / 1", "published, front": "0.9 / 0.5", "base": "0 / 0", "front": "0.9 / 0"}


def test_findings(report):
    best, published, level = findings(report)
    # at m2 = 1 the row was measured with m1 = 0: rgb 0.4, dem 0.7
    assert best == "Best mean over 2 modalities: 55.0 % at m1 / m2 = any / 1."
    assert published.startswith("0.9 / 0.5 has 54.0 %, rank 2 of 5 different merges; the best is 1.0 ± ")
    assert "(95 %, same images), no more than chance would give if it had not been picked as the best of 5" in published
    assert published.endswith("It is on the Pareto front.")
    assert level.endswith("3 are on the Pareto front.")


def test_without_the_published_pair_nothing_is_said_of_it():
    report = made((0.2, 0.4), (0.1,), lambda m1, m2: {"rgb": m1})
    assert len(findings(report)) == 2 and "published" not in dict(rows(report))


def test_the_published_pair_as_the_best():
    report = made((0.1, 0.9), (0.5,), lambda m1, m2: {"rgb": m1})
    told = findings(report)
    assert told[1] == "0.9 / 0.5 has 90.0 %, rank 1 of 2 different merges. It is on the Pareto front."
    assert told[2].startswith("1 of 2 merges differ") and dict(rows(report)).keys() == {"best mean, published, front"}


def test_terminal_table(report):
    console = Console(width=120, record=True, quiet=False, file=None, force_terminal=False)
    with console.capture() as caught:
        console.print(render(report))
    told = caught.get()
    assert "zero-shot top-1, % (synthetic data)" in told and "any / 1" in told and "68.0" in told


def test_files(report, tmp_path):
    write_report(tmp_path, report)
    told = json.loads((tmp_path / "sweep.json").read_text())
    assert told["best"]["m2"] == 1 and told["best"]["modalities"]["dem"]["top1"] == 0.7 and told["published"]["mean"] == pytest.approx(0.54)
    assert np.array_equal(told["mean"], report.table()) and np.array_equal(told["top1"]["dem"], report.table("dem"))
    assert len(told["pareto_front"]) == 3 and told["synthetic"] and told["seconds"] == 12.3 and told["measured"] == 6
    text = (tmp_path / "sweep.md").read_text()
    assert "on 400 **synthetic** scenes per modality (`planet-tune`)" in text and "![heatmap](heatmap.png)" in text
    assert "| 0.9 / 0.5 | 54.0 | 63.0 | 45.0 | published, front |" in text
    assert "| 0.5 | 45.0 | 54.0 |" in text and "    geolangbind sweep" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep.json", "sweep.md"]


def test_a_long_front_is_cut_on_the_terminal_only():
    values = tuple(np.linspace(0, 0.9, 20).tolist())
    report = made(values, (0.0,), lambda m1, m2: {"rgb": m1, "dem": 1 - m1})
    assert len(rows(report)) == 20 and len(render(report).rows) == 12  # the best and the base are among these
    assert render(report).caption == "and 8 more on the front, see sweep.md"


@pytest.mark.parametrize(("side", "modalities"), [(2, ("rgb",)), (11, ("rgb", "sar", "msi", "hsi", "ir", "dem")), (21, ("rgb", "dem"))])
def test_the_picture(side, modalities, tmp_path):
    values = tuple(np.linspace(0, 1, side).tolist())
    plot(tmp_path / "heatmap.png", made(values, values, lambda m1, m2: dict.fromkeys(modalities, m1 * m2)))
    with Image.open(tmp_path / "heatmap.png") as image:
        assert image.format == "PNG" and min(image.size) > 500 and len(image.convert("RGB").getcolors(1 << 24)) > 50
    assert [path.name for path in tmp_path.iterdir()] == ["heatmap.png"]
