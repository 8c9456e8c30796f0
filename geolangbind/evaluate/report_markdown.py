"""A report as Markdown, with the pictures beside it. All that comes from data is escaped."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from geolangbind.evaluate.pictures.album import Picture
from geolangbind.evaluate.report_page import Page, Section, interval, number
from geolangbind.evaluate.report_tables import Cell, Table, column_title, table_title


def render_markdown(page: Page, folder: Path) -> str:
    """The page as it reads from a file in `folder`, to which the addresses of pictures are relative."""
    parts = [f"# {_plain(page.title)}"]
    if page.synthetic:
        names = ", ".join(map(_plain, page.synthetic))
        parts.append(f"**Synthetic data:** {names}. Such numbers compare models with each other; they say nothing about real scenes.")
    parts.append(
        "In brackets: the 95 % interval. Bold: its interval lies wholly above those of all others in its column."
        + (" Rows marked *published* are copied from papers: they were not measured here." if page.sources else "")
    )
    parts += [part for section in page.sections for part in _section(section, folder)]
    parts += ["## Commands and hashes", _origins(page)]
    parts += [f"    {command}" for command in dict.fromkeys(origin.command for origin in page.origins if origin.command)]
    if page.sources:
        parts.append("\n".join(f"- {_plain(model)} *(published)*: {_plain(source)}" for model, source in page.sources.items()))
    return "\n\n".join(parts) + "\n"


def _section(section: Section, folder: Path) -> list[str]:
    parts = [f"## {_plain(section.title)}", _plain(section.about)]
    for table in section.tables:
        parts += [f"### {_plain(table_title(table))}", _table(table)]
    return parts + [_picture(picture, folder) for picture in section.pictures]


def _picture(picture: Picture, folder: Path) -> str:
    address = Path(os.path.relpath(picture.path, folder)).as_posix().replace(" ", "%20")
    return f"![{_plain(picture.title)}]({address})\n\n{_plain(picture.caption)}"


def _table(table: Table) -> str:
    head = ["model", *(_plain(column_title(column, table)) for column in table.columns)]
    chance = ["*chance*", *(number(column.chance, table.percent) for column in table.columns)]
    trials = ["*n*", *(str(column.n or "") for column in table.columns)]
    lines = [
        [_plain(line.model) + (" *(published)*" if line.published else ""), *(_cell(cell, table.percent) for cell in line.cells)]
        for line in table.lines
    ]
    return _grid(head, [chance, trials, *lines], ["---", *["---:"] * len(table.columns)])


def _cell(cell: Cell | None, percent: bool) -> str:
    if cell is None:
        return "–"
    value = number(cell.value, percent)
    return f"{f'**{value}**' if cell.best else value} [{interval(cell, percent)}]"


def _origins(page: Page) -> str:
    rows = [
        [x.model, x.model_sha256[:12], x.dataset, x.revision[:12], x.sensors, x.prompts, x.settings[:12], x.date] for x in page.origins
    ]  # fmt: skip
    head = ["model", "weights, SHA-256", "data", "revision", "sensors and bands", "prompts", "settings", "date"]
    return _grid(head, [[_plain(text) for text in row] for row in rows], ["---"] * len(head))


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]], rule: Sequence[str]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|!&~])", r"\\\1", " ".join(text.split()))
