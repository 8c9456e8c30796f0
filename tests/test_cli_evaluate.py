"""`geolangbind report`."""

import pytest
import typer
from typer.testing import CliRunner

from geolangbind import cli_evaluate
from geolangbind.evaluate.results import ResultRow, append_rows


@pytest.fixture
def report():
    app = typer.Typer()
    app.callback()(lambda: None)  # with one command alone, Typer would not ask for its name
    cli_evaluate.register(app)
    return lambda *arguments: CliRunner().invoke(app, ["report", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def folders(tmp_path):
    for name in ("a", "b"):
        row = ResultRow(
            name, "", "s", "d", "", "", "", "rgb", "ece", 0.5, 10, 0.0, 0.4, 0.6, "", False, "geolangbind-evaluate", "2026-01-01"
        )  # fmt: skip
        append_rows(tmp_path / name / "results.jsonl", [row])
    return tmp_path / "a", tmp_path / "b"


def test_one_folder_gets_its_page_inside(report, folders):
    assert report(folders[0]).stdout.startswith(f"wrote {folders[0] / 'report.html'} and report.md")
    assert (folders[0] / "report.html").is_file()


def test_several_folders_get_a_page_of_their_own(report, folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report(*folders)
    text = (tmp_path / "report/report.html").read_text(encoding="utf-8")
    assert text.count("<tr><td>a</td>") == text.count("<tr><td>b</td>") == 2  # in the table and among the hashes
    report(*folders, "--out", tmp_path / "page.html")
    assert (tmp_path / "page.md").is_file()
