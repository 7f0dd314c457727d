"""`understudy retention | forget`: what is kept of viewers, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.clock import DAY, SystemClock
from core.errors import InvalidInputError
from core.ids import check_id
from core.settings import PlatformSettings
from understudy.output import json_option, progress, show
from understudy.wiring import load_platform, open_migrated_store

if TYPE_CHECKING:
    from deploy.settings import DeploySettings
    from storage.database import Database
    from storage.event_log import TopicPartition
    from storage.removal import Kind


@click.command()
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(1, 36_500),
    help="Days to keep interactions and exposures.  [default: UNDERSTUDY_DEPLOY_KEEP_..._DAYS]",
)
@click.option("--dry-run", is_flag=True, help="Count what is too old; delete nothing.")
@json_option
def retention(days: int | None, dry_run: bool, as_json: bool) -> None:
    """Delete interactions and exposures that are too old; exit 3 if an open release still needs them.

    Where there is an archive, interactions go only once it has them.
    """
    from deploy.retention import apply_retention
    from deploy.settings import DeploySettings
    from storage.connect import open_embedded_log

    platform, now_ms = load_platform(), SystemClock().now_ms()
    before_ms = {kind: now_ms - kept * DAY for kind, kept in _kept(days, DeploySettings.load()).items()}
    if not before_ms:
        raise InvalidInputError(
            "everything is kept for ever: give --older-than DAYS, or set"
            " UNDERSTUDY_DEPLOY_KEEP_INTERACTIONS_DAYS or UNDERSTUDY_DEPLOY_KEEP_EXPOSURES_DAYS"
        )
    database = open_migrated_store(platform)
    archived = _archived(platform, database) if "interactions" in before_ms else None
    with progress("deleting") as on_progress:
        report = apply_retention(
            database,
            before_ms,
            dry_run=dry_run,
            archived=archived,
            log=open_embedded_log(platform, SystemClock()),
            on_progress=on_progress,
        )
    show(report.as_json(), as_json, report.sentences)


def _kept(days: int | None, settings: DeploySettings) -> dict[Kind, int]:
    """Days by kind, where there is a limit."""
    kept: dict[Kind, int] = {
        "interactions": days or settings.keep_interactions_days,
        "exposures": days or settings.keep_exposures_days,
    }
    return {kind: limit for kind, limit in kept.items() if limit}


def _archived(platform: PlatformSettings, database: Database) -> dict[TopicPartition, int] | None:
    """How far the archive has come; None where there is none."""
    if not platform.archive.is_dir():
        return None
    from ingest.archiving import archived_offsets
    from ingest.settings import IngestSettings
    from understudy.commands.archiving import opened_archive

    with opened_archive(platform.archive) as archive:
        return archived_offsets(database, archive, IngestSettings.load().kinds)


@click.command()
@click.argument("user_id", metavar="USER")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted; delete nothing.")
@json_option
def forget(user_id: str, dry_run: bool, as_json: bool) -> None:
    """Delete the viewer USER from the stores, and say what remains in which bundle until when."""
    from storage.connect import open_serving_store
    from understudy.forgetting import forget as forget_viewer

    check_id("user_id", user_id)
    platform = load_platform()
    found = forget_viewer(
        user_id,
        database=open_migrated_store(platform),
        serving_store=open_serving_store(platform, SystemClock()),
        bundles=platform.bundles,
        archived=_forget_in_archive(platform.archive, user_id, dry_run=dry_run),
        log=_remains_in_log(platform),
        dry_run=dry_run,
    )
    show(found.as_json(), as_json, found.sentences)


def _forget_in_archive(folder: Path, user_id: str, *, dry_run: bool) -> int:
    """How many archived events of the viewer were deleted, or would be."""
    if not folder.is_dir():
        return 0
    from understudy.commands.archiving import opened_archive

    with opened_archive(folder) as archive:
        return archive.count_of_viewer(user_id) if dry_run else archive.remove_viewer(user_id)


def _remains_in_log(platform: PlatformSettings) -> str:
    if platform.kafka_servers:
        return "the topics keep the viewer's records as long as their retention.ms says; nobody stores them again"
    return f"{platform.home / 'events.db'} keeps the viewer's records until `understudy retention` deletes them; nobody stores them again"
