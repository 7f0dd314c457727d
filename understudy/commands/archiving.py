"""`understudy archive`: the accepted events as a Delta table for batch engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import InvalidInputError
from understudy.output import json_option, show
from understudy.wiring import load_platform, open_migrated_store

if TYPE_CHECKING:
    from storage.raw_archive import RawArchive


@click.command()
@json_option
def archive(as_json: bool) -> None:
    """Append what the reader has stored since the last time to the Delta table in the home folder, each event once."""
    from ingest.archiving import archive_new
    from ingest.settings import IngestSettings
    from ingest.topics import EXPOSURES

    platform = load_platform()
    topics = [topic for topic, kind in IngestSettings.load().kinds.items() if kind != EXPOSURES]
    with opened_archive(platform.archive) as table:
        done = archive_new(open_migrated_store(platform), table, topics)
    found = {"folder": str(platform.archive), "events": done.events, "commits": done.commits}
    show(found, as_json, lambda: [f"{done.events:,} events appended to {platform.archive}"])


@contextmanager
def opened_archive(folder: Path) -> Iterator[RawArchive]:
    """The archive in a folder.

    Raises:
        InvalidInputError: what it is written with is not installed.
    """
    try:
        from storage.raw_archive import open_raw_archive
    except ModuleNotFoundError as error:
        raise InvalidInputError(f"the archive needs {error.name}: install understudy[archive]") from None
    with open_raw_archive(folder) as opened:
        yield opened
