"""The embedded event log: SQLite files, shared by the processes of one machine.

Records are in one file, and how far the consumer groups have come in another beside it. A file has one writer at a
time: a reader that is stopped in the middle of its commit holds up other readers, never those who append.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from core.clock import SECOND, Clock
from core.errors import DependencyError, UnderstudyError
from storage.consumer_groups import ConsumerGroups
from storage.event_log import Message, Positions, Record, TopicPartition
from storage.sqlite_file import SqliteFile

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS partitions (
    topic TEXT, partition INTEGER, next_offset INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    topic TEXT, partition INTEGER, offset INTEGER, timestamp_ms INTEGER NOT NULL, key TEXT, value BLOB,
    PRIMARY KEY (topic, partition, offset)
) WITHOUT ROWID;
"""
SESSION_MS: Final = 10 * SECOND
_HEARTBEAT_MS: Final = 2 * SECOND
_TRIM_PORTION: Final = 5_000
_LOOK_EVERY_S: Final = 0.05  # other processes' appends are noticed by looking


@dataclass(slots=True)
class _Ticket:
    """An append that waits for its turn to be written."""

    topic: str
    messages: Sequence[Message]
    done: bool = False
    error: UnderstudyError | None = None


class SqliteEventLog:
    """Event log in `path`. Appends of several threads share a transaction, and so its disk flush."""

    def __init__(self, path: Path, clock: Clock, partitions: int = 1) -> None:
        self._records = SqliteFile(path, _SCHEMA)
        self._groups = ConsumerGroups(path.with_stem(f"{path.stem}-groups"))
        self._clock = clock
        self._partitions = partitions
        self._waiting: list[_Ticket] = []
        self._waiting_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._appended = threading.Condition()

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        """Return once every message is on disk. Raises DependencyError."""
        if not messages:
            return
        ticket = _Ticket(topic, messages)
        with self._waiting_lock:
            self._waiting.append(ticket)
        with self._write_lock:
            if not ticket.done:
                self._write_waiting()
        if ticket.error is not None:
            raise DependencyError(str(ticket.error)) from ticket.error

    def consumer(self, group: str, topics: Sequence[str]) -> SqliteConsumer:
        """Join `group` and take it over: an older member's commits are refused from now on."""
        return SqliteConsumer(self._records, self._groups, self._clock, self._appended, group, topics)

    def ends(self, topic: str) -> dict[TopicPartition, int]:
        """Per partition the next offset; every partition of the topic is there, empty or not."""
        with self._records.reading() as connection:
            rows = connection.execute(
                "SELECT partition, next_offset FROM partitions WHERE topic = ?", (topic,)
            )
            found = dict(rows.fetchall())
        count = max([self._partitions, *(partition + 1 for partition in found)])
        return {
            where: found[where.partition] if where.partition in found else self._groups.read_by_any(where)
            for where in (TopicPartition(topic, partition) for partition in range(count))
        }

    def trim(self, topic: str, before_ms: int) -> int:
        """Delete the records from before a time that every group has read; how many they were. Raises DependencyError.

        Kafka does that by a topic's `retention.ms`. The file keeps its size, and what comes next fills it.
        """
        deleted = 0
        for where, read in self._groups.read_by_all(topic).items():
            while portion := self._trim(where, read, before_ms):
                deleted += portion
        return deleted

    def _trim(self, where: TopicPartition, read: int, before_ms: int) -> int:
        """A portion in a transaction of its own, so that no append waits for all of them."""
        with self._records.writing() as connection:
            return connection.execute(
                "DELETE FROM records WHERE topic = ?1 AND partition = ?2 AND offset IN (SELECT offset FROM records"
                " WHERE topic = ?1 AND partition = ?2 AND offset < ?3 AND timestamp_ms < ?4 LIMIT ?5)",
                (*where, read, before_ms, _TRIM_PORTION),
            ).rowcount

    def close(self) -> None:
        self._records.close()
        self._groups.close()

    def _write_waiting(self) -> None:
        with self._waiting_lock:
            tickets, self._waiting = self._waiting, []
        outcome: UnderstudyError | None = DependencyError("the append was interrupted")
        try:
            with self._records.writing() as connection:
                for ticket in tickets:
                    self._write(connection, ticket)
            outcome = None
        except UnderstudyError as error:
            outcome = error
        finally:  # whatever ended this thread's work, nobody else may take it for stored
            for ticket in tickets:
                ticket.error, ticket.done = outcome, True
        with self._appended:
            self._appended.notify_all()

    def _write(self, connection: sqlite3.Connection, ticket: _Ticket) -> None:
        now_ms = self._clock.now_ms()
        ordered = sorted(ticket.messages, key=self._partition_of)  # stable: the order of a partition is kept
        for partition, group in groupby(ordered, key=self._partition_of):
            messages = list(group)
            first = self._take(connection, TopicPartition(ticket.topic, partition), len(messages))
            connection.executemany(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (ticket.topic, partition, first + i, now_ms, message.key, message.value)
                    for i, message in enumerate(messages)
                ],
            )

    def _take(self, connection: sqlite3.Connection, where: TopicPartition, count: int) -> int:
        """The first of the next `count` offsets of a partition."""
        moved = connection.execute(
            "UPDATE partitions SET next_offset = next_offset + ? WHERE topic = ? AND partition = ?"
            " RETURNING next_offset",
            (count, *where),
        ).fetchone()
        if moved:
            return int(moved[0]) - count
        # An offset that was stored once is never given again: who deletes the file, to have a viewer forgotten or for
        # room, loses none of what comes after.
        first = self._groups.read_by_any(where)
        connection.execute("INSERT INTO partitions VALUES (?, ?, ?)", (*where, first + count))
        return first

    def _partition_of(self, message: Message) -> int:
        return 0 if message.key is None else zlib.crc32(message.key.encode()) % self._partitions


class SqliteConsumer:
    """One member of a group. The newest member owns every partition; an older one stands by, reads nothing,
    and takes over when the owner has not been seen for ten seconds."""

    def __init__(
        self,
        records: SqliteFile,
        groups: ConsumerGroups,
        clock: Clock,
        appended: threading.Condition,
        group: str,
        topics: Sequence[str],
    ) -> None:
        self._records = records
        self._groups = groups
        self._clock = clock
        self._appended = appended
        self._group = group
        self._topics = tuple(topics)
        self._positions: dict[TopicPartition, int] = {}
        self._generation = 0
        self._seen_ms = 0
        self._join()

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records, fairly over partitions that have any. Raises DependencyError."""
        deadline = time.monotonic() + timeout_s
        while True:
            records = self._next(max_records) if self._owns() else []
            left = deadline - time.monotonic()
            if records or left <= 0:
                return records
            with self._appended:
                self._appended.wait(min(left, _LOOK_EVERY_S))

    def commit(self, positions: Positions) -> None:
        """Store the next offsets. Raises CommitRefusedError once a newer member has joined."""
        self._groups.commit(self._group, self._generation, positions)

    def close(self) -> None:
        """Leave: a member that stands by may take over at once."""
        self._groups.seen(self._group, self._generation, 0)

    def _join(self) -> None:
        self._seen_ms = self._clock.now_ms()
        self._generation, committed = self._groups.join(self._group, self._seen_ms)
        self._positions = dict(committed)

    def _owns(self) -> bool:
        now_ms = self._clock.now_ms()
        owner = self._groups.owner(self._group)
        if owner.generation != self._generation:
            if now_ms - owner.seen_ms <= SESSION_MS:
                return False
            self._join()
        elif now_ms - self._seen_ms >= _HEARTBEAT_MS:
            self._groups.seen(self._group, self._generation, now_ms)
            self._seen_ms = now_ms
        return True

    def _next(self, max_records: int) -> list[Record]:
        with self._records.reading() as connection:
            behind = self._behind(connection)
            share = max(1, max_records // len(behind)) if behind else 0
            records: list[Record] = []
            for where in behind:
                wanted = min(share, max_records - len(records))
                found = self._read(connection, where, wanted)
                records += found
                if found:
                    self._positions[where] = found[-1].offset + 1
        return records

    def _behind(self, connection: sqlite3.Connection) -> list[TopicPartition]:
        marks = ", ".join("?" * len(self._topics))
        rows = connection.execute(
            f"SELECT topic, partition, next_offset FROM partitions WHERE topic IN ({marks})",  # noqa: S608
            self._topics,
        )
        ends = {TopicPartition(topic, partition): end for topic, partition, end in rows}
        return [where for where, end in ends.items() if self._positions.get(where, 0) < end]

    def _read(self, connection: sqlite3.Connection, where: TopicPartition, count: int) -> list[Record]:
        rows = connection.execute(
            "SELECT topic, partition, offset, timestamp_ms, key, value FROM records"
            " WHERE topic = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?",
            (*where, self._positions.get(where, 0), count),
        )
        return [Record(*row) for row in rows]
