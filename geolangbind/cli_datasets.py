"""`geolangbind datasets`: the cards that ship, and what they say."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

console = Console(highlight=False)
datasets_app = typer.Typer(help="Cards of public datasets: what they hold and how `shards build` reads them.", no_args_is_help=False)


def register(app: typer.Typer) -> None:
    """Add the commands to `geolangbind`."""
    app.add_typer(datasets_app, name="datasets")


@datasets_app.callback(invoke_without_command=True)
def datasets(context: typer.Context) -> None:
    """List the cards; `geolangbind datasets show NAME` prints one."""
    if context.invoked_subcommand is None:
        from geolangbind.sources.show import render_cards

        console.print(render_cards())


@datasets_app.command("show")
def datasets_show(card: Annotated[str, typer.Argument(help="Name, folder or card.yaml.")]) -> None:
    """Print one card: views, layouts that are read, splits, classes, licence, known overlap."""
    from geolangbind.sources.card import load_card
    from geolangbind.sources.show import render_card

    for part in render_card(load_card(card)):
        console.print(part)
