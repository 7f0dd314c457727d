"""Interactions: appended once, under the position and the event id that make a replay a no-op."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, distinct, func, select

from core.events import Interaction
from storage.batches import insert_new
from storage.event_log import LogPosition
from storage.tables import interactions

_COLUMNS: Final = (
    "topic",
    "partition",
    "offset",
    "event_id",
    "user_id",
    "video_id",
    "event_type",
    "details",
    "watch_percentage",
    "rating",
    "request_id",
    "occurred_ms",
    "received_ms",
)
_FETCH: Final = 20_000
_PORTION: Final = 600  # rows held at once: so few that the garbage collector, which counts them, stays away
_RUN_GAP: Final = 1_000


@dataclass(frozen=True, slots=True)
class LoggedInteraction:
    """An interaction and where it stands in the event log."""

    topic: str
    partition: int
    offset: int
    interaction: Interaction

    @property
    def position(self) -> LogPosition:
        return LogPosition(self.topic, self.partition, self.offset)

    @property
    def event_id(self) -> str:
        """The sender's event id, or the position where the sender gave none."""
        return self.interaction.event_id or f"{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class OutcomeColumns:
    """What an online evaluation needs of interactions, column by column.

    `watch_percentage` is float64 with NaN where an event has none; `received_ms` is int64; `rows` are numbers
    of rows.
    """

    user_ids: list[str]
    video_ids: list[str | None]
    event_type: list[str]
    watch_percentage: NDArray[np.float64]
    request_ids: list[str | None]
    received_ms: NDArray[np.int64]
    rows: list[int]


@dataclass(frozen=True, slots=True)
class TrainingColumns:
    """Interactions with a video, oldest first. Equal strings are one object, so a row costs a few pointers.

    `value` is the rating, else watch_percentage / 100, else NaN (float64); `occurred_ms` is int64.
    """

    user_ids: list[str]
    video_ids: list[str]
    occurred_ms: NDArray[np.int64]
    event_type: list[str]
    value: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StoredCount:
    """What is stored of one partition, for an audit."""

    rows: int
    first_offset: int
    last_offset: int
    distinct_event_ids: int


def store_interactions(connection: Connection, rows: Sequence[LoggedInteraction]) -> int:
    """Store what is new; a known position or event id changes nothing. The number of new rows."""
    return insert_new(connection, interactions, _COLUMNS, [_values(row) for row in rows])


def stored_under(connection: Connection, positions: Iterable[LogPosition]) -> list[LoggedInteraction]:
    """The rows stored under exactly these positions, in offset order per partition.

    A position without a row was a duplicate by event id, a dead letter or a tombstone.
    """
    by_partition: dict[tuple[str, int], set[int]] = defaultdict(set)
    for topic, partition, offset in positions:
        by_partition[topic, partition].add(offset)
    return [
        _logged(row)
        for (topic, partition), offsets in by_partition.items()
        for first, last in _runs(offsets)
        for row in connection.execute(_range_query(topic, partition, first, last))
        if row.offset in offsets
    ]


def interactions_between(
    connection: Connection,
    first_received_ms: int,
    last_received_ms: int,
    event_types: Collection[str] | None = None,
    up_to_row: int | None = None,
    *,
    in_order: bool = True,
) -> OutcomeColumns:
    """What was received from `first_received_ms` to `last_received_ms`, both included; without `in_order` a third sooner."""
    t = interactions.c
    query = select(
        t.user_id, t.video_id, t.event_type, t.watch_percentage, t.request_id, t.received_ms, t.row_id
    ).where(t.received_ms.between(first_received_ms, last_received_ms))
    if in_order:
        query = query.order_by(t.received_ms, t.topic, t.partition, t.offset)
    if event_types is not None:
        query = query.where(t.event_type.in_(sorted(event_types)))
    if up_to_row is not None:
        query = query.where(t.row_id <= up_to_row)
    columns = _columns(connection.execute(query).partitions(_PORTION), 7)
    return OutcomeColumns(
        user_ids=columns[0],
        video_ids=columns[1],
        event_type=columns[2],
        watch_percentage=np.array(columns[3], dtype=np.float64),
        request_ids=columns[4],
        received_ms=np.array(columns[5], dtype=np.int64),
        rows=columns[6],
    )


def last_interaction(connection: Connection) -> int:
    """The number of the row stored last; 0 for none."""
    return connection.execute(select(func.max(interactions.c.row_id))).scalar_one() or 0


def training_columns(connection: Connection, until_ms: int) -> TrainingColumns:
    """Every interaction with a video that occurred up to `until_ms`, included; read in portions.

    The order (by time, then position) is the same on every read, so that a bundle can be made again.
    """
    t = interactions.c
    query = (
        select(t.user_id, t.video_id, t.occurred_ms, t.event_type, t.rating, t.watch_percentage)
        .where(t.video_id.is_not(None), t.occurred_ms <= until_ms)
        .order_by(t.occurred_ms, t.topic, t.partition, t.offset)
        .execution_options(yield_per=_FETCH)
    )
    user_ids: list[str] = []
    video_ids: list[str] = []
    event_types: list[str] = []
    times: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    values: list[NDArray[np.float64]] = [np.empty(0, np.float64)]
    known: dict[str, str] = {}
    for portion in connection.execute(query).partitions():
        users, videos, occurred, types, ratings, percentages = zip(*portion, strict=True)
        user_ids += [known.setdefault(text, text) for text in users]
        video_ids += [known.setdefault(text, text) for text in videos]
        event_types += [known.setdefault(text, text) for text in types]
        times.append(np.array(occurred, dtype=np.int64))
        values.append(_worth(ratings, percentages))
    return TrainingColumns(user_ids, video_ids, np.concatenate(times), event_types, np.concatenate(values))


def count_by_partition(connection: Connection, topic: str) -> dict[int, StoredCount]:
    """Per partition of a topic: rows, first and last offset, distinct event ids."""
    t = interactions.c
    query = (
        select(
            t.partition,
            func.count(),
            func.min(t.offset),
            func.max(t.offset),
            func.count(distinct(t.event_id)),
        )
        .where(t.topic == topic)
        .group_by(t.partition)
    )
    return {row[0]: StoredCount(*row[1:]) for row in connection.execute(query)}


def _worth(ratings: Sequence[float | None], percentages: Sequence[float | None]) -> NDArray[np.float64]:
    # Not divided in SQL: PostgreSQL ends the query with an error where a tiny percentage underflows.
    rating = np.array(ratings, dtype=np.float64)
    return np.where(np.isnan(rating), np.array(percentages, dtype=np.float64) / 100, rating)


def _values(row: LoggedInteraction) -> tuple[Any, ...]:
    event = row.interaction
    return (
        row.topic,
        row.partition,
        row.offset,
        row.event_id,
        event.user_id,
        event.video_id,
        event.event_type,
        msgspec.json.encode(event.details).decode(),
        event.details.get("watch_percentage"),
        event.details.get("rating"),
        event.request_id,
        event.occurred_ms,
        event.received_ms,
    )


def _logged(row: Row[Any]) -> LoggedInteraction:
    position = LogPosition(row.topic, row.partition, row.offset)
    return LoggedInteraction(
        *position,
        Interaction(
            event_id=row.event_id,
            user_id=row.user_id,
            video_id=row.video_id,
            event_type=row.event_type,
            details=msgspec.json.decode(row.details),
            occurred_ms=row.occurred_ms,
            received_ms=row.received_ms,
            request_id=row.request_id,
        ),
    )


def _range_query(topic: str, partition: int, first: int, last: int) -> Any:
    t = interactions.c
    return (
        select(interactions)
        .where(t.topic == topic, t.partition == partition, t.offset.between(first, last))
        .order_by(t.offset)
    )


def _runs(offsets: set[int]) -> Iterator[tuple[int, int]]:
    """Ranges that cover the offsets; offsets far apart do not share one."""
    ordered = sorted(offsets)
    first = last = ordered[0]
    for offset in ordered[1:]:
        if offset - last > _RUN_GAP:
            yield first, last
            first = offset
        last = offset
    yield first, last


def _columns(portions: Iterable[Sequence[Sequence[Any]]], width: int) -> list[list[Any]]:
    columns: list[list[Any]] = [[] for _ in range(width)]
    for rows in portions:
        for column, values in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(values)
    return columns
