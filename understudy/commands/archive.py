"""`understudy release export | replay`: a release in one file, and its decisions taken again from it."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import RefusedError
from understudy.output import json_option, show
from understudy.wiring import load_platform, open_migrated_store


@click.command()
@click.argument("release_id")
@click.option("--out", type=click.Path(path_type=Path), help="The file.  [default: RELEASE_ID.ndjson.gz]")
@json_option
def export(release_id: str, out: Path | None, as_json: bool) -> None:
    """Write everything of a release into one file: plan, looks, verdict, story, exposures, interactions that count."""
    from deploy.archive import lines_of, write

    path = out or Path(f"{release_id}.ndjson.gz")
    lines = write(path, lines_of(open_migrated_store(load_platform()), release_id))
    show({"file": str(path), "lines": lines}, as_json, lambda: [f"{path} holds {lines:,} lines"])


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def replay(file: Path, as_json: bool) -> None:
    """Take every look of an exported release again; exit 3 unless each byte is the same."""
    from deploy.archive import read
    from deploy.replay import replay as again

    found = again(read(file))
    show(
        found, as_json, lambda: [f"{found.looks} looks of {found.release_id}, verdict {found.verdict or '-'}"]
    )
    if found.difference:
        raise RefusedError(f"not the same: {found.difference}")
    if not as_json:
        click.echo("every look and the verdict come out the same, to the byte")
