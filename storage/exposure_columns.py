"""Exposures column by column: what an online evaluation and the export of a release read of a million of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

PORTION: Final = 600  # rows held at once: so few that the garbage collector, which counts them, stays away
AGGREGATED: Final = 2_000  # rows that PostgreSQL lays end to end in one value
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


@dataclass(frozen=True, slots=True)
class Numbers:
    """Some exposures as numbers, one entry per request in each array: what is read of all of them at every look.

    A text per row would cost more than everything else: the viewer comes as a number, request ids and shown
    videos are asked for by row where they matter (`items_of`, `request_ids_of`, `rows_of`).
    """

    row: NDArray[np.int64]
    viewer: NDArray[np.int64]
    served_ms: NDArray[np.int64]
    stage: NDArray[np.int64]
    flags: NDArray[np.int64]  # the sum of those of FLAGS that hold
    latency_ms: NDArray[np.float64]


# Gives each of some viewers a number, always the same one.
Numbering = Callable[[Sequence[str]], NDArray[np.int64]]

FLAGS: Final = {"canary": 1, "forced": 2, "fell_back": 4, "error": 8, "timeout": 16, "short": 32}
_STAGE_UNIT: Final = 64
_PACKED: Final = (
    f'CAST("stage" AS BIGINT) * {_STAGE_UNIT}'
    f""" + CASE WHEN "arm_assigned" = 'canary' THEN {FLAGS["canary"]} ELSE 0 END"""
    f' + CASE WHEN "forced" THEN {FLAGS["forced"]} ELSE 0 END'
    f' + CASE WHEN "arm_served" <> "arm_assigned" THEN {FLAGS["fell_back"]} ELSE 0 END'
    """ + CASE "outcome" WHEN 'ok' THEN 0"""
    f""" {" ".join(f"WHEN '{word}' THEN {FLAGS[word]}" for word in ("error", "timeout", "short"))} ELSE 0 END"""
)
_NUMBERS: Final = f'"row_id", "user_id", "served_ms", {_PACKED}, "latency_ms"'
_OF_RELEASE: Final = "release_id = {} AND row_id > {} AND row_id <= {} ORDER BY row_id"


def numbers_of_release(
    connection: Connection,
    number: Numbering,
    release_id: str,
    after_row: int = 0,
    up_to_row: int | None = None,
) -> Iterator[Numbers]:
    """The exposures of one release after row `after_row`, oldest row first, in portions."""
    values = (release_id, after_row, MOST if up_to_row is None else up_to_row)
    if connection.dialect.name == "postgresql":
        return _aggregated(connection, number, *values)
    return (_numbers(portion, number) for portion in _portions(connection, _NUMBERS, _OF_RELEASE, values))


def numbers_between(
    connection: Connection, number: Numbering, first_ms: int, last_ms: int
) -> Iterator[Numbers]:
    """What was served from `first_ms` to `last_ms`, both included, in that order, in portions."""
    where = "served_ms BETWEEN {} AND {} ORDER BY served_ms, row_id"
    portions = _portions(connection, _NUMBERS, where, (first_ms, last_ms))
    return (_numbers(portion, number) for portion in portions)


def columns_of_release(
    connection: Connection, release_id: str, after_row: int = 0, up_to_row: int | None = None
) -> Iterator[StoredColumns]:
    """The exposures of one release after row `after_row`, oldest row first, in portions."""
    values = (release_id, after_row, MOST if up_to_row is None else up_to_row)
    return map(_columns, _portions(connection, _NAMES, _OF_RELEASE, values))


def items_of(connection: Connection, rows: Sequence[int]) -> list[str]:
    """The JSON text of the shown ids of each row: most of an exposure's bytes, and few evaluations need many."""
    texts = _found(connection, "row_id", "items", rows)
    return [texts[row] for row in rows]


def request_ids_of(connection: Connection, rows: Sequence[int]) -> list[str]:
    """The request id of each row."""
    texts = _found(connection, "row_id", "request_id", rows)
    return [texts[row] for row in rows]


def rows_of(connection: Connection, request_ids: Sequence[str], absent: int) -> list[int]:
    """The row of each request id, `absent` for the unknown."""
    rows = _found(connection, "request_id", "row_id", request_ids)
    return [rows.get(request_id, absent) for request_id in request_ids]


def _found(connection: Connection, key: str, value: str, wanted: Sequence[Any]) -> dict[Any, Any]:
    """The values of one column by those of another."""
    on_postgresql = connection.dialect.name == "postgresql"
    table, one_of = (
        ('"output"."exposures"', "= ANY(%s)")
        if on_postgresql
        else ('"exposures"', 'IN (SELECT "value" FROM json_each(?))')
    )
    query = f'SELECT "{key}", "{value}" FROM {table} WHERE "{key}" {one_of}'  # noqa: S608 - our own words
    driver: Any = connection.connection.driver_connection
    found: dict[Any, Any] = {}
    with closing(driver.cursor()) as cursor:
        for first in range(0, len(wanted), PORTION):
            portion = list(wanted[first : first + PORTION])
            cursor.execute(query, (portion if on_postgresql else json.dumps(portion),))
            found.update(cursor.fetchall())
    return found


def _portions(
    connection: Connection, columns: str, where: str, values: tuple[str | int, ...]
) -> Iterator[list[tuple[Any, ...]]]:
    """By the driver's own cursor: rows of SQLAlchemy cost as much as everything else together."""
    on_postgresql = connection.dialect.name == "postgresql"
    table, mark = ('"output"."exposures"', "%s") if on_postgresql else ('"exposures"', "?")
    query = f"SELECT {columns} FROM {table} WHERE {where.format(*[mark] * len(values))}"  # noqa: S608 - our own words
    driver: Any = connection.connection.driver_connection
    # A named cursor stays on PostgreSQL's side; another would fetch everything before the first row.
    with closing(driver.cursor("exposures") if on_postgresql else driver.cursor()) as cursor:
        cursor.execute(query, values)
        while portion := cursor.fetchmany(PORTION):
            yield portion


def _numbers(portion: list[tuple[Any, ...]], number: Numbering) -> Numbers:
    row, user, served, packed, latency = zip(*portion, strict=True)
    of_stage = np.fromiter(packed, np.int64, len(portion))
    return Numbers(
        row=np.fromiter(row, np.int64, len(portion)),
        viewer=number(user),
        served_ms=np.fromiter(served, np.int64, len(portion)),
        stage=of_stage // _STAGE_UNIT,
        flags=of_stage % _STAGE_UNIT,
        latency_ms=np.fromiter(latency, np.float64, len(portion)),
    )


def _aggregated(
    connection: Connection, number: Numbering, release_id: str, after_row: int, last_row: int
) -> Iterator[Numbers]:
    """From PostgreSQL, each portion as one value: a row of its own is sent, and parsed, at several times the cost."""
    query = (
        'SELECT json_agg("user_id")::text, string_agg(int8send("row_id") || int8send("served_ms")'  # noqa: S608
        f" || int8send({_PACKED}) || float8send(\"latency_ms\"), '')"
        ' FROM (SELECT * FROM "output"."exposures"'
        f" WHERE {_OF_RELEASE.format(*['%s'] * 3)} LIMIT {AGGREGATED}) AS portion"
    )
    driver: Any = connection.connection.driver_connection
    with closing(driver.cursor()) as cursor:
        while True:
            cursor.execute(query, (release_id, after_row, last_row))
            viewers, sent = cursor.fetchone()
            if viewers is None:
                return
            portion = _unpacked(number(msgspec.json.decode(viewers, type=list[str])), sent)
            after_row = int(portion.row[-1])
            yield portion


def _unpacked(viewer: NDArray[np.int64], sent: memoryview) -> Numbers:
    """Four numbers a row, big-endian, the last one a float."""
    values = np.frombuffer(sent, ">i8").reshape(-1, 4)
    row, served, packed = values[:, :3].astype(np.int64).T
    latency = np.ascontiguousarray(values[:, 3]).view(">f8").astype(np.float64)
    return Numbers(row, viewer, served, packed // _STAGE_UNIT, packed % _STAGE_UNIT, latency)


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
