"""`understudy ingest replay-dead-letters`: what was refused once and would be taken today."""

from __future__ import annotations

import click

from core.clock import SystemClock
from understudy.output import json_option, show
from understudy.wiring import load_platform, open_migrated_store


@click.command("replay-dead-letters")
@click.option(
    "--reason", help="Only letters refused for this reason (malformed, schema, details, time, ...)."
)
@click.option("--topic", help="Only letters of this topic.")
@click.option("--limit", type=click.IntRange(1), help="Look at no more than so many, the oldest first.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent; send nothing.")
@json_option
def replay_dead_letters(
    reason: str | None, topic: str | None, limit: int | None, dry_run: bool, as_json: bool
) -> None:
    """Send dead letters that parse by now through the event log again, each counted once."""
    from ingest.replaying import ReplayTally, Selection
    from ingest.replaying import replay_dead_letters as replay
    from ingest.settings import IngestSettings
    from storage.connect import open_event_log

    platform, clock = load_platform(), SystemClock()
    kinds, selection = IngestSettings.load().kinds, Selection(reason, topic, limit)
    database, log = open_migrated_store(platform), open_event_log(platform, clock)
    tally = replay(database, log, clock, kinds, selection, dry_run=dry_run)

    def lines(tally: ReplayTally) -> list[str]:
        said = tally.as_json()
        done = "would be sent again" if dry_run else "sent again"
        why = "".join(f"; {name} {count}" for name, count in said["still_refused_by_reason"].items())
        return [f"{said['replayed']:,} {done}, {said['still_refused']:,} refused still{why}"]

    show({**tally.as_json(), "dry_run": dry_run}, as_json, lambda: lines(tally))
