"""`understudy settings | migrate`: whether the environment and the tables are what this version wants."""

from __future__ import annotations

import click

from understudy.output import json_option, show
from understudy.wiring import every_settings_class, load_platform, open_migrated_store


@click.command()
@json_option
def settings(as_json: bool) -> None:
    """List every UNDERSTUDY_ variable with its meaning; refuse unknown or invalid ones."""
    variables = {name: text for cls in every_settings_class() for name, text in cls.variables().items()}
    width = max(map(len, variables))
    show(variables, as_json, lambda: [f"{name:{width}}  {text}" for name, text in variables.items()])


@click.command()
def migrate() -> None:
    """Bring the tables of the main store to this version's revision."""
    open_migrated_store(load_platform()).close()
    click.echo("the tables are at the newest revision")
