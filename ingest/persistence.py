"""One batch into SQL in one transaction, together with the account of what became of every offset."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ingest.parsing import Batch
from storage.database import Database
from storage.dead_letters import store_dead_letters
from storage.event_log import LogPosition, TopicPartition
from storage.exposures import LoggedExposure, exposure_positions, store_exposures, those_stored
from storage.interactions import LoggedInteraction, store_interactions, stored_under
from storage.progress import Fate, Progress, ProgressDelta, advance_progress, progress_of

R = TypeVar("R", LoggedInteraction, LoggedExposure)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a batch came to.

    `rows` and `exposures` are those stored under exactly the batch's offsets, now or by an earlier delivery of
    the same records: what the documents have to follow. `counted` is what is new in the account by (topic, fate);
    `skipped` the offsets by topic that the log did not give us; `accounts` are those of the batch's partitions.
    """

    rows: list[LoggedInteraction]
    exposures: list[LoggedExposure]
    counted: Counter[tuple[str, Fate]]
    skipped: Counter[str]
    accounts: Mapping[TopicPartition, Progress]


def store_batch(database: Database, batch: Batch) -> Stored:
    """Store what is new and count it, all in one transaction or not at all; a replay changes nothing.

    Raises:
        DependencyError: nothing was stored; the same call may succeed later.
    """
    with database.begin() as connection:
        # Locked first: of two readers of one partition (one of them deposed) the later sees what the other did.
        before = progress_of(connection, sorted(batch.following), lock=True)
        rows = batch.interactions
        if store_interactions(connection, _beyond(before, rows)) < len(rows):
            rows = stored_under(connection, [row.position for row in rows])
        exposures = _beyond(before, batch.exposures)
        if exposures:
            store_exposures(connection, exposures)
        if len(exposures) < len(batch.exposures):
            exposures = those_stored(connection, batch.exposures)
        if batch.dead_letters:
            store_dead_letters(connection, batch.dead_letters)
        shown = {LogPosition(row.topic, row.partition, row.offset) for row in batch.exposures}
        shown_now = exposure_positions(connection, shown)
        after = advance_progress(connection, _deltas(batch, rows, shown, shown_now))
    return Stored(rows, exposures, _counted(before, after), _skipped(before, after), after)


def _beyond(accounts: Mapping[TopicPartition, Progress], rows: list[R]) -> list[R]:
    """Those the account has not passed: what it has is settled, and a row deleted since must not come back."""
    if not accounts:
        return rows
    reached = {tuple(where): account.next_offset for where, account in accounts.items()}
    return [row for row in rows if row.offset >= reached.get((row.topic, row.partition), 0)]


def _deltas(
    batch: Batch,
    rows: Iterable[LoggedInteraction],
    shown: Iterable[LogPosition],
    shown_now: Iterable[LogPosition],
) -> dict[TopicPartition, ProgressDelta]:
    """The fate of every offset: what was parsed is a duplicate, unless it is found stored under its offset."""
    fates: defaultdict[tuple[str, int], dict[int, Fate]] = defaultdict(dict)
    for row in batch.interactions:
        fates[row.topic, row.partition][row.offset] = "duplicate"
    for row in rows:
        fates[row.topic, row.partition][row.offset] = "stored"
    for topic, partition, offset in shown:
        fates[topic, partition][offset] = "duplicate"
    for topic, partition, offset in shown_now:
        fates[topic, partition][offset] = "stored"
    for letter in batch.dead_letters:
        fates[letter.topic, letter.partition][letter.offset] = "dead"
    for tombstone in batch.tombstones:
        topic, partition, offset = tombstone.position
        fates[topic, partition][offset] = "tombstone"
    return {TopicPartition(*where): ProgressDelta(offsets) for where, offsets in fates.items()}


def _counted(
    before: dict[TopicPartition, Progress], after: dict[TopicPartition, Progress]
) -> Counter[tuple[str, Fate]]:
    counted: Counter[tuple[str, Fate]] = Counter()
    for where, now in after.items():
        was = before.get(where, Progress(now.first_offset, now.first_offset))
        counted[where.topic, "stored"] += now.stored - was.stored
        counted[where.topic, "duplicate"] += now.duplicates - was.duplicates
        counted[where.topic, "dead"] += now.dead - was.dead
        counted[where.topic, "tombstone"] += now.tombstones - was.tombstones
    return counted


def _skipped(before: dict[TopicPartition, Progress], after: dict[TopicPartition, Progress]) -> Counter[str]:
    skipped: Counter[str] = Counter()
    for where, now in after.items():
        skipped[where.topic] += now.skipped - (before[where].skipped if where in before else 0)
    return skipped
