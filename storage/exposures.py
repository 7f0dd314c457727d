"""Exposures: one row for each answered request, in the order in which they became visible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, Select, select, text

from core.exposures import Exposure
from storage.batches import insert_new
from storage.event_log import LogPosition
from storage.tables import exposures

_FIELDS: Final = tuple(name for name in Exposure.__struct_fields__ if name != "items")
_COLUMNS: Final = ("topic", "partition", "offset", "item", *_FIELDS, "items")
_APPEND_LOCK: Final = 0x45_58_50  # any number that no other advisory lock of ours has


@dataclass(frozen=True, slots=True)
class LoggedExposure:
    """An exposure, the record that carried it, and its index in that record's batch."""

    topic: str
    partition: int
    offset: int
    item: int
    exposure: Exposure


@dataclass(frozen=True, slots=True)
class StoredExposure:
    """`row` grows in the order in which rows became visible: read on after the last one seen."""

    row: int
    exposure: Exposure


def store_exposures(connection: Connection, rows: Sequence[LoggedExposure]) -> int:
    """Store what is new; a known request id or position changes nothing. The number of new rows."""
    if connection.dialect.name == "postgresql":
        # Row numbers are drawn before the commit; without the lock a reader that reads on after the last
        # row it saw could pass over one that is committed later with a lower number.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _APPEND_LOCK})
    return insert_new(connection, exposures, _COLUMNS, [_values(row) for row in rows])


def exposures_of_release(
    connection: Connection, release_id: str, after_row: int = 0, limit: int | None = None
) -> list[StoredExposure]:
    """The exposures of one release after row `after_row`, oldest row first."""
    t = exposures.c
    query = select(exposures).where(t.release_id == release_id, t.row_id > after_row)
    return _read(connection, query.order_by(t.row_id).limit(limit))


def exposures_between(connection: Connection, first_ms: int, last_ms: int) -> list[StoredExposure]:
    """What was served from `first_ms` to `last_ms`, both included, in that order."""
    t = exposures.c
    query = select(exposures).where(t.served_ms.between(first_ms, last_ms))
    return _read(connection, query.order_by(t.served_ms, t.row_id))


def newest_exposures(connection: Connection, limit: int) -> list[StoredExposure]:
    """The last `limit` requests that main or the canary answered with a list, oldest first."""
    t = exposures.c
    query = select(exposures).where(t.arm_served.in_(("main", "canary")), t["items"] != "[]")
    return _read(connection, query.order_by(t.row_id.desc()).limit(limit))[::-1]


def exposure_positions(connection: Connection, positions: Iterable[LogPosition]) -> set[LogPosition]:
    """Those of the positions under which at least one exposure is stored."""
    t = exposures.c
    wanted = set(positions)
    found: set[LogPosition] = set()
    for topic, partition in {(p.topic, p.partition) for p in wanted}:
        offsets = [p.offset for p in wanted if (p.topic, p.partition) == (topic, partition)]
        query = select(t.offset).where(
            t.topic == topic, t.partition == partition, t.offset.between(min(offsets), max(offsets))
        )
        found |= {LogPosition(topic, partition, offset) for (offset,) in connection.execute(query)}
    return found & wanted


def those_stored(connection: Connection, rows: Iterable[LoggedExposure]) -> list[LoggedExposure]:
    """Those of the rows that are stored under their offsets: not one that was deleted since."""
    t, rows = exposures.c, list(rows)
    stored: set[str] = set()
    for topic, partition, offset in {(row.topic, row.partition, row.offset) for row in rows}:
        query = select(t.request_id).where(t.topic == topic, t.partition == partition, t.offset == offset)
        stored.update(connection.execute(query).scalars())
    return [row for row in rows if row.exposure.request_id in stored]


def _read(connection: Connection, query: Select[Any]) -> list[StoredExposure]:
    return [StoredExposure(row.row_id, _exposure(row)) for row in connection.execute(query)]


def _exposure(row: Row[Any]) -> Exposure:
    # `items` is also a method of a mapping and no field of a Row, so columns are taken by name.
    columns = row._mapping
    fields = {name: columns[name] for name in _FIELDS}
    return Exposure(items=tuple(msgspec.json.decode(columns["items"])), **fields)


def _values(row: LoggedExposure) -> tuple[Any, ...]:
    shown = row.exposure
    fields = tuple(getattr(shown, name) for name in _FIELDS)
    items = msgspec.json.encode(shown.items).decode()
    return (row.topic, row.partition, row.offset, row.item, *fields, items)
