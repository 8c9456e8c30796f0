"""Commands about results: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console(highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the main program."""
    app.command("report")(report)


def report(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders with a results.jsonl, as geolangbind-evaluate leaves them.", metavar="DIR...")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Page to write; by default report.html in DIR, or report/report.html for several.")
    ] = None,
) -> None:
    """Join results into one HTML page that works offline, and the same as Markdown: all models side by side, with intervals.

    Example: geolangbind report runs/a runs/b --out comparison/report.html
    """
    from geolangbind.evaluate.report import PAGE, join_reports

    page = join_reports(folders, out or (folders[0] if len(folders) == 1 else Path("report")) / PAGE)
    console.print(f"wrote {page} and {page.with_suffix('.md').name}")
