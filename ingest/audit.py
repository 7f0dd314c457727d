"""The audit: what the event log holds against what is stored. Proves 0 lost and 0 duplicated, or says where not.

Two witnesses have to agree with the log: the account that the reader keeps of every offset's fate, and the
rows that are really in the tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS
from storage.database import Database
from storage.event_log import EventLog, TopicPartition
from storage.offsets import StoredOffsets, count_stored_offsets, offsets_without_row
from storage.progress import Progress, accounted_offsets

TOPICS: Final = (TOPIC_INTERACTIONS, TOPIC_EXPOSURES)
MOST_RUNS: Final = 20

Run = tuple[int, int]


@dataclass(frozen=True, slots=True)
class PartitionAudit:
    """One partition of the log: its end, the account of it, the rows found, and the offsets without a row."""

    where: TopicPartition
    log_end: int
    account: Progress
    found: StoredOffsets
    without_row: tuple[Run, ...]

    @property
    def waiting(self) -> int:
        """Records that have not been read yet: late, not lost."""
        return max(0, self.log_end - self.account.next_offset)

    @property
    def rows(self) -> int:
        """Offsets that were stored, by the tables."""
        return self.found.interactions + self.found.exposures

    @property
    def lost(self) -> int:
        """Offsets that were passed and have no row, beyond those that need none."""
        rowless = sum(last - first + 1 for first, last in self.without_row)
        return max(0, rowless - self.rowless_by_right)

    @property
    def rowless_by_right(self) -> int:
        """Duplicates and tombstones, and rows that were deleted on purpose."""
        return self.account.duplicates + self.account.tombstones + self.account.removed

    @property
    def duplicated(self) -> int:
        """Rows beyond one for each offset that must have one, and rows that share an event id."""
        beyond = max(0, self.rows - self.account.kept)
        dead_beyond = max(0, self.found.dead_letters - self.account.dead)
        return beyond + dead_beyond + self.found.interactions - self.found.event_ids

    @property
    def clean(self) -> bool:
        """Whether log, account and tables tell the same story."""
        return (
            self.lost == 0
            and self.duplicated == 0
            and self.account.balanced
            and (self.rows, self.found.dead_letters) == (self.account.kept, self.account.dead)
            and self.account.next_offset <= self.log_end
        )

    def as_json(self) -> dict[str, Any]:
        account = self.account
        return {
            "topic": self.where.topic,
            "partition": self.where.partition,
            "log_end": self.log_end,
            "next_offset": account.next_offset,
            "read": account.read,
            "stored": account.stored,
            "duplicates": account.duplicates,
            "dead_letters": account.dead,
            "tombstones": account.tombstones,
            "removed": account.removed,
            "waiting": self.waiting,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "gaps": [list(run) for run in self.without_row] if self.lost else [],
            "clean": self.clean,
        }

    def sentence(self) -> str:
        """One line for people."""
        account = self.account
        story = (
            f"{self.where.topic}/{self.where.partition}: log end {self.log_end}, read {account.read} ="
            f" {account.stored} stored + {account.duplicates} duplicates + {account.dead} dead letters"
            f" + {account.tombstones} tombstones; {self._since()}{self.waiting} waiting; {self.lost} lost,"
            f" {self.duplicated} duplicated"
        )
        return story if self.clean else f"{story}. {self._complaint()}"

    def _since(self) -> str:
        return f"{self.account.removed} removed since; " if self.account.removed else ""

    def _complaint(self) -> str:
        if self.account.next_offset > self.log_end:
            return f"The account is at {self.account.next_offset}, beyond the log: this is another event log"
        if self.lost:
            runs = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in self.without_row[:MOST_RUNS])
            more = f" and {len(self.without_row) - MOST_RUNS} further runs"
            return (
                f"Offsets without a row: {runs}{more if len(self.without_row) > MOST_RUNS else ''} (of them"
                f" {self.rowless_by_right} are duplicates, tombstones or removed)"
            )
        return (
            f"The account says {self.account.kept} stored and {self.account.dead} dead, the tables hold"
            f" {self.rows} and {self.found.dead_letters}"
        )


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Every partition of the topics that were asked for."""

    partitions: tuple[PartitionAudit, ...]

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing duplicated. Records that still wait are neither."""
        return all(part.clean for part in self.partitions)

    @property
    def waiting(self) -> int:
        return sum(part.waiting for part in self.partitions)

    def as_json(self) -> dict[str, Any]:
        return {
            "clean": self.clean,
            "waiting": self.waiting,
            "lost": sum(part.lost for part in self.partitions),
            "duplicated": sum(part.duplicated for part in self.partitions),
            "partitions": [part.as_json() for part in self.partitions],
        }

    def sentences(self) -> list[str]:
        """The report for people: a line for each partition, and the verdict."""
        lost, duplicated = (sum(getattr(p, name) for p in self.partitions) for name in ("lost", "duplicated"))
        total = f"{lost} lost, {duplicated} duplicated, {self.waiting} waiting"
        return [
            *(part.sentence() for part in self.partitions),
            f"{'clean' if self.clean else 'NOT CLEAN'}: {total}",
        ]


def audit(database: Database, log: EventLog, topics: Iterable[str] = TOPICS) -> AuditReport:
    """Compare log, account and tables; it may run while the reader works.

    Raises:
        DependencyError: the log or the database did not answer.
    """
    return AuditReport(tuple(part for topic in topics for part in _audit_topic(database, log, topic)))


def _audit_topic(database: Database, log: EventLog, topic: str) -> list[PartitionAudit]:
    with database.read() as connection:
        accounts = accounted_offsets(connection, topic)
        found = count_stored_offsets(connection, topic)
        rowless = {
            partition: tuple(
                offsets_without_row(connection, topic, partition, account.first_offset, account.next_offset)
            )
            for partition, account in accounts.items()
        }
    # The log is asked last: it only grows, so its end is never before what was read.
    ends = {where.partition: end for where, end in log.ends(topic).items()}
    return [
        PartitionAudit(
            where=TopicPartition(topic, partition),
            log_end=ends.get(partition, 0),
            account=accounts.get(partition, Progress(0, 0)),
            found=found.get(partition, StoredOffsets()),
            without_row=rowless.get(partition, ()),
        )
        for partition in sorted({*ends, *accounts, *found})
    ]
