"""Exposures column by column: what an online evaluation reads of a million of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

PORTION: Final = 600  # rows held at once: so few that the garbage collector, which counts them, stays away
MOST: Final = 2**63 - 1
_NAMES: Final = ", ".join(
    f'"{name}"'
    for name in (
        "row_id",
        "request_id",
        "user_id",
        "served_ms",
        "arm_assigned",
        "arm_served",
        "stage",
        "forced",
        "outcome",
        "latency_ms",
    )
)


@dataclass(frozen=True, slots=True)
class StoredColumns:
    """Some exposures, one entry per request in each column. What each showed is asked for by row: `items_of`."""

    row: tuple[int, ...]
    request_id: tuple[str, ...]
    user_id: tuple[str, ...]
    served_ms: NDArray[np.int64]
    arm_assigned: tuple[str, ...]
    arm_served: tuple[str, ...]
    stage: NDArray[np.int64]
    forced: NDArray[np.bool_]
    outcome: tuple[str, ...]
    latency_ms: NDArray[np.float64]

    @property
    def last_row(self) -> int:
        """Read on after it."""
        return self.row[-1]


def columns_of_release(
    connection: Connection, release_id: str, after_row: int = 0, up_to_row: int | None = None
) -> Iterator[StoredColumns]:
    """The exposures of one release after row `after_row`, oldest row first, in portions."""
    last_row = MOST if up_to_row is None else up_to_row
    where = "release_id = {} AND row_id > {} AND row_id <= {} ORDER BY row_id"
    return _portions(connection, where, (release_id, after_row, last_row))


def columns_between(connection: Connection, first_ms: int, last_ms: int) -> Iterator[StoredColumns]:
    """What was served from `first_ms` to `last_ms`, both included, in that order, in portions."""
    return _portions(
        connection, "served_ms BETWEEN {} AND {} ORDER BY served_ms, row_id", (first_ms, last_ms)
    )


def items_of(connection: Connection, rows: Sequence[int]) -> list[str]:
    """The JSON text of the shown ids of each row: most of an exposure's bytes, and few evaluations need many."""
    on_postgresql = connection.dialect.name == "postgresql"
    query = (
        'SELECT "row_id", "items" FROM "output"."exposures" WHERE "row_id" = ANY(%s)'
        if on_postgresql
        else 'SELECT "row_id", "items" FROM "exposures" WHERE "row_id" IN (SELECT "value" FROM json_each(?))'
    )
    driver: Any = connection.connection.driver_connection
    texts: dict[int, str] = {}
    with closing(driver.cursor()) as cursor:
        for first in range(0, len(rows), PORTION):
            portion = list(rows[first : first + PORTION])
            cursor.execute(query, (portion if on_postgresql else json.dumps(portion),))
            texts.update(cursor.fetchall())
    return [texts[row] for row in rows]


def _portions(connection: Connection, where: str, values: tuple[str | int, ...]) -> Iterator[StoredColumns]:
    """By the driver's own cursor: rows of SQLAlchemy cost as much as everything else together."""
    on_postgresql = connection.dialect.name == "postgresql"
    table, mark = ('"output"."exposures"', "%s") if on_postgresql else ('"exposures"', "?")
    query = f"SELECT {_NAMES} FROM {table} WHERE {where.format(*[mark] * len(values))}"  # noqa: S608 - our own words
    driver: Any = connection.connection.driver_connection
    # A named cursor stays on PostgreSQL's side; another would fetch everything before the first row.
    with closing(driver.cursor("exposures") if on_postgresql else driver.cursor()) as cursor:
        cursor.execute(query, values)
        while portion := cursor.fetchmany(PORTION):
            yield _columns(portion)


def _columns(portion: list[tuple[Any, ...]]) -> StoredColumns:
    rows, request, user, served, assigned, answered, stage, forced, outcome, latency = zip(
        *portion, strict=True
    )
    return StoredColumns(
        row=rows,
        request_id=request,
        user_id=_once(user),
        served_ms=np.array(served, np.int64),
        arm_assigned=_once(assigned),
        arm_served=_once(answered),
        stage=np.array(stage, np.int64),
        forced=np.array(forced, np.bool_),
        outcome=_once(outcome),
        latency_ms=np.array(latency, np.float64),
    )


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Equal names of viewers, arms and outcomes as one object."""
    return tuple(map(sys.intern, names))
