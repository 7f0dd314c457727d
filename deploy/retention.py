"""How long interactions and exposures are kept: too old ones are deleted in batches, never what a release needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from core.clock import format_ms
from core.errors import RefusedError
from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS
from deploy.evaluation import ReleasePlan
from deploy.rows import HISTORY_MS
from storage import releases as store
from storage.database import Database
from storage.event_log_sqlite import SqliteEventLog
from storage.removal import Kind, Offsets, count_older, remove_older

BATCH: Final = 5_000
TOPICS: Final[dict[Kind, str]] = {"interactions": TOPIC_INTERACTIONS, "exposures": TOPIC_EXPOSURES}

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Needed:
    """From when on an open release needs every row: its own, and what its viewers did shortly before."""

    release_id: str
    version: str
    since_ms: int


@dataclass(slots=True)
class RetentionReport:
    """Rows deleted (or, in a dry run, found to be too old), by kind, and the times before which rows are too old.

    `unarchived` interactions are too old, and are kept because the archive does not have them yet. `log_records`
    are what was deleted from the embedded event log.
    """

    before_ms: dict[Kind, int]
    dry_run: bool
    rows: dict[Kind, int] = field(default_factory=dict)
    unarchived: int = 0
    log_records: int = 0

    def as_json(self) -> dict[str, Any]:
        before = {kind: format_ms(at_ms) for kind, at_ms in self.before_ms.items()}
        return {
            "dry_run": self.dry_run,
            "before": before,
            "rows": dict(self.rows),
            "unarchived": self.unarchived,
            "log_records": self.log_records,
        }

    def sentences(self) -> list[str]:
        """One line a kind, and one each for records of the event log and for an archive that lags behind."""
        done = "would be deleted" if self.dry_run else "deleted"
        said = [
            f"{rows:,} {kind} from before {format_ms(self.before_ms[kind])} {done}"
            for kind, rows in self.rows.items()
        ]
        if self.log_records:
            said.append(f"{self.log_records:,} records of the event log deleted")
        if self.unarchived:
            said.append(
                f"{self.unarchived:,} interactions more are too old and not in the archive yet, so they are kept:"
                " run `understudy archive` first"
            )
        return said


def needed(database: Database) -> Needed | None:
    """What the open release needs, if one is open. Closed ones have their verdict: export them to keep their rows."""
    with database.read() as connection:
        row = store.open_release(connection)
        if row is None:
            return None
        plans = store.plans_of(connection, row.release_id)
    opened_ms = plans[0].created_ms if plans else row.started_ms
    cuped = ReleasePlan.from_json(row.plan["evaluation"]).cuped
    return Needed(row.release_id, row.version, opened_ms - (HISTORY_MS if cuped else 0))


def apply_retention(
    database: Database,
    before_ms: dict[Kind, int],
    *,
    dry_run: bool = False,
    archived: Offsets | None = None,
    log: SqliteEventLog | None = None,
    batch: int = BATCH,
    on_progress: OnProgress = lambda done, total: None,
) -> RetentionReport:
    """Delete the rows of each kind from before its time; killed anywhere and run again, it goes on.

    Args:
        archived: the offsets that the archive has reached, where there is one: no interaction from there on goes.
        log: the embedded event log, if that is in use: what is as old there and read by every group is deleted too.

    Raises:
        RefusedError: an open release still needs rows from before that time; nothing was deleted.
    """
    _refuse_what_is_needed(database, before_ms)
    report = RetentionReport(before_ms, dry_run)
    for kind, until_ms in before_ms.items():
        only = archived if kind == "interactions" else None
        with database.read() as connection:
            found = count_older(connection, kind, until_ms, only)
            if only is not None:
                report.unarchived = count_older(connection, kind, until_ms) - found
        report.rows[kind] = found if dry_run else 0
        while report.rows[kind] < found:
            _refuse_what_is_needed(database, before_ms)  # a release may have begun meanwhile
            # A small transaction: the reader waits for one of them, not for all.
            with database.begin() as connection:
                removed = remove_older(connection, kind, until_ms, batch, only)
            if not removed:  # somebody else was quicker
                break
            report.rows[kind] += removed
            on_progress(report.rows[kind], found)
        if log is not None and not dry_run:
            report.log_records += log.trim(TOPICS[kind], until_ms)
    return report


def _refuse_what_is_needed(database: Database, before_ms: dict[Kind, int]) -> None:
    need = needed(database)
    if need is None:
        return
    for kind, until_ms in before_ms.items():
        if until_ms > need.since_ms:
            raise RefusedError(
                f"release {need.release_id} of {need.version} is open and its evaluation needs {kind} since"
                f" {format_ms(need.since_ms)}, asked was to delete up to {format_ms(until_ms)}: end the release"
                " first, or keep more"
            )
