"""Which offsets of a partition have a row in any table: the audit's own look, beside the account of progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, distinct, func, select, union

from storage.tables import dead_letters, exposures, interactions


@dataclass(frozen=True, slots=True)
class StoredOffsets:
    """Offsets of one partition with a row, by table; `event_ids` counts the distinct ones of interactions."""

    interactions: int = 0
    event_ids: int = 0
    exposures: int = 0
    dead_letters: int = 0


def count_stored_offsets(connection: Connection, topic: str) -> dict[int, StoredOffsets]:
    """Per partition of a topic, what the tables hold."""
    by_table = {
        "interactions": _counts(connection, topic, interactions.c, func.count()),
        "event_ids": _counts(
            connection, topic, interactions.c, func.count(distinct(interactions.c.event_id))
        ),
        "exposures": _counts(connection, topic, exposures.c, func.count(distinct(exposures.c.offset))),
        "dead_letters": _counts(connection, topic, dead_letters.c, func.count()),
    }
    partitions = {partition for counts in by_table.values() for partition in counts}
    return {
        partition: StoredOffsets(**{name: counts.get(partition, 0) for name, counts in by_table.items()})
        for partition in partitions
    }


def offsets_without_row(
    connection: Connection, topic: str, partition: int, first: int, until: int
) -> list[tuple[int, int]]:
    """Runs (first, last), both included, of offsets from `first` to before `until` that no table has a row for."""
    tables = (interactions.c, exposures.c, dead_letters.c)
    present = union(*(_offsets(t, topic, partition, first, until) for t in tables)).subquery()
    following = func.lead(present.c.offset, 1, until).over(order_by=present.c.offset)
    steps = select(present.c.offset.label("offset"), following.label("following")).subquery()
    query = select(steps).where(steps.c.following > steps.c.offset + 1).order_by(steps.c.offset)
    runs = [(offset + 1, after - 1) for offset, after in connection.execute(query)]
    lowest = connection.execute(select(func.min(present.c.offset))).scalar()
    head = until if lowest is None else lowest
    return [(first, head - 1), *runs] if head > first else runs


def _offsets(t: Any, topic: str, partition: int, first: int, until: int) -> Select[Any]:
    return select(t.offset).where(
        t.topic == topic, t.partition == partition, t.offset >= first, t.offset < until
    )


def _counts(connection: Connection, topic: str, t: Any, what: Any) -> dict[int, int]:
    query = select(t.partition, what).where(t.topic == topic).group_by(t.partition)
    return {row[0]: row[1] for row in connection.execute(query)}
