"""The event log: an append-only log in topics and partitions. Port of the embedded log and of Kafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from core.errors import RefusedError


class Message(NamedTuple):
    """What is appended. Messages with the same key keep their order (they share a partition)."""

    key: str | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """What is read. `timestamp_ms` is the log's own time of receipt, never the sender's.

    `value` is None for a tombstone.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: str | None
    value: bytes | None


class TopicPartition(NamedTuple):
    topic: str
    partition: int


class LogPosition(NamedTuple):
    """Where exactly a record stands: what makes a replay recognisable."""

    topic: str
    partition: int
    offset: int


Positions = Mapping[TopicPartition, int]


class CommitRefusedError(RefusedError):
    """The partition went to another member of the group: what was read is read again there."""

    retriable = True


class Consumer(Protocol):
    """One member of a consumer group. Not thread-safe: one thread polls and commits."""

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records in offset order per partition; empty after `timeout_s` without any.

        Raises:
            DependencyError: the log did not answer; polling again is right.
        """
        ...

    def commit(self, positions: Positions) -> None:
        """Store, per partition, the NEXT offset to read.

        Raises:
            CommitRefusedError: this member lost the partition.
            DependencyError: the log did not answer.
        """
        ...

    def close(self) -> None: ...


class EventLog(Protocol):
    """Thread-safe for appends. One instance a process."""

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        """Return once every message is durable in the log.

        Raises:
            DependencyError: it may or may not have been stored; the same event id again counts once.
        """
        ...

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join `group`; the first start ever begins at the oldest record, later ones at the committed offset."""
        ...

    def ends(self, topic: str) -> dict[TopicPartition, int]:
        """Per partition the offset the next record will get (the log end)."""
        ...

    def close(self) -> None: ...
