"""`geolangbind report`: results folders to one HTML page and the same as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geolangbind.checkpoint import atomic_path
from geolangbind.evaluate.pictures.album import read_pictures
from geolangbind.evaluate.pictures.results import PREFIX, draw_results
from geolangbind.evaluate.report_html import render_html
from geolangbind.evaluate.report_markdown import render_markdown
from geolangbind.evaluate.report_page import make_page, suite_averages
from geolangbind.evaluate.report_rows import newest_rows, read_details
from geolangbind.evaluate.report_tables import make_tables
from geolangbind.evaluate.results import markdown

PAGE = "report.html"


def write_report(out: Path) -> Path:
    """Write `report.html` and `report.md` of one results folder into it; returns the path of the first.

    Raises:
        DataError: the folder has no results, or a damaged one.
    """
    return join_reports([out], out / PAGE)


def join_reports(folders: Sequence[Path], page: Path) -> Path:
    """Write one HTML page of several results folders, and beside it the same as Markdown.

    Pictures that only need results (model by dataset, few-shot curves, confusion, calibration) are drawn into `pictures` beside the
    page; those that need a model are taken from the folders, where `pictures.draw` left them.

    Args:
        folders: each with a `results.jsonl`.
        page: HTML file to write.

    Returns:
        `page`.

    Raises:
        DataError: a folder has no results, or damaged ones.
    """
    rows = newest_rows(folders)
    tables = make_tables(rows, {suite: suite_averages(suite) for suite in {row.suite for row in rows}})
    draw_results(page.parent, rows, tables, {row: found for row in rows if (found := read_details(folders, row))})
    others = [folder for folder in folders if folder.resolve() != page.parent.resolve()]
    pictures = [picture for folder in others for picture in read_pictures(folder) if not picture.path.name.startswith(PREFIX)]
    made = make_page(rows, tables, [*read_pictures(page.parent), *pictures])
    plain = render_markdown(made, page.parent)
    if len({row.model for row in rows if not row.published}) == 1:
        own = [row for row in rows if not row.published]
        plain += "\n".join(["", "## All figures in one table", "", "In percent, with 95 % intervals.", "", *markdown(own), ""])
    for path, text in ((page, render_html(made)), (page.with_suffix(".md"), plain)):
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")
    return page
