"""From stored interactions to the raw archive: partition by partition, from the offset the archive has reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from storage.database import Database
from storage.event_log import LogPosition, TopicPartition
from storage.interactions import LoggedInteraction, stored_under
from storage.progress import Progress, accounted_offsets

if TYPE_CHECKING:
    from storage.raw_archive import RawArchive  # needs the extra `archive`, which the reader does not

BATCH: Final = 20_000


@dataclass(frozen=True, slots=True)
class Archived:
    """What one run appended: events, in so many commits."""

    events: int = 0
    commits: int = 0


def archive_new(
    database: Database, archive: RawArchive, topics: Iterable[str], batch: int = BATCH
) -> Archived:
    """Append what the reader has stored since the archive was last written; killed anywhere and run again, it goes on.

    The account says how far the rows are complete: nothing can be stored later below its next offset.

    Args:
        batch: how many offsets go into one commit.

    Raises:
        ConflictError: another process archives the same table.
        DependencyError: the database or the archive could not be read or written.
    """
    events = commits = 0
    for where, account in _accounts(database, topics):
        first = max(archive.reached(where), account.first_offset)
        for start in range(first, account.next_offset, batch):
            until = min(start + batch, account.next_offset)
            rows = _rows(database, where, start, until)
            if (
                rows
            ):  # of offsets without an event nothing is to be kept; the next commit says they are passed
                archive.append(rows, where, start, until)
                events, commits = events + len(rows), commits + 1
    return Archived(events, commits)


def archived_offsets(
    database: Database, archive: RawArchive, topics: Iterable[str]
) -> dict[TopicPartition, int]:
    """The offset that the archive has reached in each partition that has been read.

    Raises:
        DependencyError: the database or the archive could not be read.
    """
    return {where: archive.reached(where) for where, _ in _accounts(database, topics)}


def _accounts(database: Database, topics: Iterable[str]) -> Iterator[tuple[TopicPartition, Progress]]:
    for topic in topics:
        with database.read() as connection:
            accounts = accounted_offsets(connection, topic)
        for partition, account in accounts.items():
            yield TopicPartition(topic, partition), account


def _rows(database: Database, where: TopicPartition, start: int, until: int) -> list[LoggedInteraction]:
    with database.read() as connection:
        return stored_under(connection, [LogPosition(*where, offset) for offset in range(start, until)])
