"""Exposures column by column: what the export of a release reads of them, and a look of a few of them."""

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
_TYPES: Final = {'"row_id"': "bigint", '"request_id"': "text"}
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


OF_RELEASE: Final = "release_id = {} AND row_id > {} AND row_id <= {} ORDER BY row_id"


def columns_of_release(
    connection: Connection, release_id: str, after_row: int = 0, up_to_row: int | None = None
) -> Iterator[StoredColumns]:
    """The exposures of one release after row `after_row`, oldest row first, in portions."""
    values = (release_id, after_row, MOST if up_to_row is None else up_to_row)
    return map(_columns, portions(connection, _NAMES, OF_RELEASE, values))


def items_of(connection: Connection, rows: Sequence[int]) -> list[str]:
    """The JSON text of the shown ids of each row: most of an exposure's bytes, and few evaluations need many."""
    texts = dict(_found(connection, '"row_id", "items"', rows))
    return [texts[row] for row in rows]


def request_ids_of(connection: Connection, rows: Sequence[int]) -> list[str]:
    """The request id of each row."""
    texts = dict(_found(connection, '"row_id", "request_id"', rows))
    return [texts[row] for row in rows]


def rows_and_items_of(
    connection: Connection, request_ids: Sequence[str]
) -> tuple[dict[str, int], dict[str, str]]:
    """The row of each request id that is known, and the JSON text of what it showed.

    Two dictionaries, since one of pairs would have the garbage collector look through everything, more than once.
    """
    rows: dict[str, int] = {}
    texts: dict[str, str] = {}
    for request_id, row, items in _found(connection, '"request_id", "row_id", "items"', request_ids):
        rows[request_id], texts[request_id] = row, items
    return rows, texts


def _found(connection: Connection, columns: str, wanted: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Some columns of the exposures that have one of the wanted values in the first of them, in any order."""
    key, _, _ = columns.partition(",")
    # As JSON also to PostgreSQL, whose driver would write, and whose parser read, an expression for each value.
    table, one_of = (
        ('"output"."exposures"', f"= ANY(ARRAY(SELECT CAST(json_array_elements_text(%s) AS {_TYPES[key]})))")
        if connection.dialect.name == "postgresql"
        else ('"exposures"', 'IN (SELECT "value" FROM json_each(?))')
    )
    query = f"SELECT {columns} FROM {table} WHERE {key} {one_of}"  # noqa: S608 - our own words
    driver: Any = connection.connection.driver_connection
    with closing(driver.cursor()) as cursor:
        for first in range(0, len(wanted), PORTION):
            cursor.execute(query, (json.dumps(wanted[first : first + PORTION]),))
            yield from cursor.fetchall()


def portions(
    connection: Connection, columns: str, where: str, values: tuple[str | int, ...]
) -> Iterator[list[tuple[Any, ...]]]:
    """Some columns of stored exposures. `where` has a pair of braces for each of the values.

    By the driver's own cursor: rows of SQLAlchemy cost as much as everything else together.
    """
    on_postgresql = connection.dialect.name == "postgresql"
    table, mark = ('"output"."exposures"', "%s") if on_postgresql else ('"exposures"', "?")
    query = f"SELECT {columns} FROM {table} WHERE {where.format(*[mark] * len(values))}"  # noqa: S608 - our own words
    driver: Any = connection.connection.driver_connection
    # A named cursor stays on PostgreSQL's side; another would fetch everything before the first row.
    with closing(driver.cursor("exposures") if on_postgresql else driver.cursor()) as cursor:
        cursor.execute(query, values)
        while portion := cursor.fetchmany(PORTION):
            yield portion


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
