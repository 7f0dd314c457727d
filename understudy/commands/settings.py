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
@click.option(
    "--to", "revision", help="A revision (0002, or base), also an earlier one.  [default: the newest]"
)
def migrate(revision: str | None) -> None:
    """Bring the tables of the main store to this version's revision, or to another before an older version runs."""
    platform = load_platform()
    open_migrated_store(platform).close()
    if revision is not None:
        from storage.migrate import migrate as migrate_to

        migrate_to(platform.sql_url, revision)
    click.echo(f"the tables are at {'the newest revision' if revision is None else revision}")
