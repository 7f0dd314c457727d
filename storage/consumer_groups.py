"""How far the consumer groups of the embedded event log have come: a SQLite file beside the log's own."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from storage.event_log import CommitRefusedError, Positions, TopicPartition
from storage.sqlite_file import SqliteFile

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS members (
    consumer_group TEXT PRIMARY KEY, generation INTEGER NOT NULL, seen_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commits (
    consumer_group TEXT, topic TEXT, partition INTEGER, next_offset INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)
) WITHOUT ROWID;
"""


class Owner(NamedTuple):
    """The newest member of a group, and when it said last that it is alive (epoch milliseconds)."""

    generation: int
    seen_ms: int


class ConsumerGroups:
    """Members and commits of every group. Thread-safe; each call is a transaction, and may raise DependencyError."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, _SCHEMA)

    def close(self) -> None:
        self._file.close()

    def join(self, group: str, now_ms: int) -> tuple[int, Positions]:
        """Take the group over: the generation of the new member, and the next offsets it goes on at."""
        with self._file.writing() as connection:
            generation: int = connection.execute(
                "INSERT INTO members VALUES (?1, 1, ?2) ON CONFLICT (consumer_group)"
                " DO UPDATE SET generation = generation + 1, seen_ms = ?2 RETURNING generation",
                (group, now_ms),
            ).fetchone()[0]
            rows = connection.execute(
                "SELECT topic, partition, next_offset FROM commits WHERE consumer_group = ?", (group,)
            ).fetchall()
        return generation, {TopicPartition(topic, partition): offset for topic, partition, offset in rows}

    def owner(self, group: str) -> Owner:
        with self._file.reading() as connection:
            return _owner(connection, group)

    def seen(self, group: str, generation: int, now_ms: int) -> None:
        """Keep that this member is alive, or with 0 that it has left; nothing if it owns the group no more."""
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE members SET seen_ms = ? WHERE consumer_group = ? AND generation = ?",
                (now_ms, group, generation),
            )

    def commit(self, group: str, generation: int, positions: Positions) -> None:
        """Store the next offsets. Raises CommitRefusedError once a newer member has joined."""
        with self._file.writing() as connection:
            if _owner(connection, group).generation != generation:
                raise CommitRefusedError(
                    f"group {group} went to a newer reader: nothing was committed by this one"
                )
            connection.executemany(
                "INSERT OR REPLACE INTO commits VALUES (?, ?, ?, ?)",
                [(group, *where, offset) for where, offset in positions.items()],
            )

    def read_by_any(self, where: TopicPartition) -> int:
        """The next offset of the group that has come farthest; 0 where none has read."""
        with self._file.reading() as connection:
            query = "SELECT max(next_offset) FROM commits WHERE topic = ? AND partition = ?"
            return int(connection.execute(query, where).fetchone()[0] or 0)

    def read_by_all(self, topic: str) -> Positions:
        """Per partition the next offset of the group that has come least far, where every group has committed."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT partition, min(next_offset) FROM commits WHERE topic = ? GROUP BY partition"
                " HAVING count(*) = (SELECT count(*) FROM members)",
                (topic,),
            )
            return {TopicPartition(topic, partition): offset for partition, offset in rows}


def _owner(connection: sqlite3.Connection, group: str) -> Owner:
    query = "SELECT generation, seen_ms FROM members WHERE consumer_group = ?"
    return Owner(*connection.execute(query, (group,)).fetchone())
