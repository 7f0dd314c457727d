"""Dead letters: what the reader could not use, kept to the byte, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Final

from sqlalchemy import Connection, func, select, update

from storage.batches import insert_new
from storage.tables import dead_letters


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused record; `reason` is the short class that is counted, `message` the sentence."""

    topic: str
    partition: int
    offset: int
    reason: str
    message: str
    value: bytes
    received_ms: int


_COLUMNS: Final = tuple(field.name for field in fields(DeadLetter))


def store_dead_letters(connection: Connection, rows: Sequence[DeadLetter]) -> int:
    """Store what is new by position; the number of new rows."""
    values = [astuple(row) for row in rows]
    # The message may quote what was refused, and PostgreSQL has no NUL in text.
    cleaned = [tuple(v.replace("\0", "\\0") if isinstance(v, str) else v for v in row) for row in values]
    return insert_new(connection, dead_letters, _COLUMNS, cleaned)


def list_dead_letters(
    connection: Connection, limit: int = 100, reason: str | None = None
) -> list[DeadLetter]:
    """The newest dead letters first, of one reason or of all."""
    t = dead_letters.c
    query = select(*(t[name] for name in _COLUMNS)).order_by(t.row_id.desc()).limit(limit)
    if reason is not None:
        query = query.where(t.reason == reason)
    return [DeadLetter(*row) for row in connection.execute(query)]


def waiting_dead_letters(
    connection: Connection,
    after_row: int,
    limit: int,
    *,
    reason: str | None = None,
    topic: str | None = None,
) -> list[tuple[int, DeadLetter]]:
    """Row number and letter of those never sent again, after row `after_row`, the oldest first."""
    t = dead_letters.c
    query = select(t.row_id, *(t[name] for name in _COLUMNS)).where(
        t.row_id > after_row, t.replayed_ms.is_(None)
    )
    for column, wanted in ((t.reason, reason), (t.topic, topic)):
        if wanted is not None:
            query = query.where(column == wanted)
    rows = connection.execute(query.order_by(t.row_id).limit(limit))
    return [(row[0], DeadLetter(*row[1:])) for row in rows]


def mark_replayed(connection: Connection, rows: Sequence[int], at_ms: int) -> None:
    """Note that these letters, by row number, were sent through the event log again."""
    t = dead_letters.c
    connection.execute(update(dead_letters).where(t.row_id.in_(rows)).values(replayed_ms=at_ms))


def count_dead_letters(connection: Connection, topic: str) -> dict[int, int]:
    """Dead letters of a topic by partition."""
    t = dead_letters.c
    query = select(t.partition, func.count()).where(t.topic == topic).group_by(t.partition)
    return dict(connection.execute(query).all())


def count_reasons(connection: Connection) -> dict[str, int]:
    """Dead letters of all topics by reason."""
    t = dead_letters.c
    query = select(t.reason, func.count()).group_by(t.reason).order_by(t.reason)
    return dict(connection.execute(query).all())
