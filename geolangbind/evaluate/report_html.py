"""A report as one HTML page that needs nothing but itself. All that comes from data is escaped by the template engine."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from geolangbind.evaluate.pictures.album import Picture
from geolangbind.evaluate.report_page import Page, interval, number
from geolangbind.evaluate.report_tables import column_title, table_title

_TEMPLATE = Path(__file__).with_name("report.html.jinja")


def render_html(page: Page) -> str:
    """The page with its pictures inside."""
    engine = Environment(
        loader=FileSystemLoader(_TEMPLATE.parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    helpers = {"column_title": column_title, "interval": interval, "number": number, "table_title": table_title, "data_uri": _data_uri}
    commands = list(dict.fromkeys(origin.command for origin in page.origins if origin.command))
    return engine.get_template(_TEMPLATE.name).render(page=page, commands=commands, **helpers)


def _data_uri(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.path.read_bytes()).decode()}"
