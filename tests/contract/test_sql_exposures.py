"""Exposures in SQL, on SQLite and PostgreSQL: stored once, and read by row, by column and as numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text

from core.errors import InvalidInputError
from core.exposures import Exposure
from storage.database import MANY, Database, open_database
from storage.event_log import LogPosition
from storage.exposure_columns import columns_of_release, items_of, request_ids_of, rows_and_items_of
from storage.exposure_numbers import AGGREGATED, FLAGS, numbers_between, numbers_of_release
from storage.exposures import (
    LoggedExposure,
    exposure_positions,
    exposures_between,
    exposures_of_release,
    store_exposures,
)
from storage.migrate import migrate

NOW = 1_700_000_000_000


def shown(offset: int, item: int = 0, **changed: Any) -> LoggedExposure:
    given: dict[str, Any] = {
        "request_id": f"q{offset}-{item}",
        "user_id": "u1",
        "served_ms": NOW + offset,
        "arm_assigned": "canary",
        "arm_served": "main",
        "version": "v2",
        "bundle_digest": "sha256:00",
        "release_id": "r1",
        "stage": 1,
        "epoch": 2,
        "items": ("v1", "v.2", 'v"3'),
        "latency_ms": 1.5,
        "outcome": "timeout",
        "forced": True,
        "degraded": False,
    }
    return LoggedExposure("recommendation_exposures", 0, offset, item, Exposure(**{**given, **changed}))


def test_exposures_are_stored_once_by_request(database: Database) -> None:
    rows = [shown(0, 0), shown(0, 1, release_id=None, forced=False, degraded=True), shown(1)]
    with database.begin() as connection:
        assert store_exposures(connection, rows) == 3
        again = replace(shown(9), exposure=rows[0].exposure)
        assert store_exposures(connection, [*rows, again]) == 0
        stored = exposures_of_release(connection, "r1")
        assert [row.exposure for row in stored] == [rows[0].exposure, rows[2].exposure]
        assert exposures_of_release(connection, "r1", after_row=stored[0].row) == stored[1:]
        assert exposures_of_release(connection, "r1", limit=1) == stored[:1]
        assert [row.exposure for row in exposures_between(connection, NOW + 1, NOW + 1)] == [rows[2].exposure]


def test_exposures_by_column_are_those_by_row(database: Database) -> None:
    rows = [
        shown(n, request_id=f"q{n}", served_ms=NOW + 50 - n, release_id="r1", user_id=f"u{n % 3}")
        for n in range(40)
    ]
    with database.begin() as connection:
        store_exposures(
            connection, [*rows, shown(99, request_id="other", release_id="r2", served_ms=NOW + 10)]
        )
    with database.read() as connection:
        by_row = exposures_of_release(connection, "r1", after_row=2)
        (portion,) = columns_of_release(connection, "r1", 2, by_row[-3].row)
        assert list(columns_of_release(connection, "none")) == []
        texts = items_of(connection, portion.row[::-1])
        assert items_of(connection, []) == []
    wanted = [(one.row, one.exposure.request_id, one.exposure.served_ms) for one in by_row[:-2]]
    assert list(zip(portion.row, portion.request_id, portion.served_ms.tolist(), strict=True)) == wanted
    assert portion.last_row == by_row[-3].row
    first, last = by_row[0].exposure, by_row[0].exposure
    assert (portion.arm_assigned[0], portion.stage[0], bool(portion.forced[0])) == (
        first.arm_assigned,
        first.stage,
        last.forced,
    )
    assert [json.loads(text) for text in texts[::-1]] == [list(one.exposure.items) for one in by_row[:-2]]


def by_digits(viewers: Sequence[str]) -> NDArray[np.int64]:
    """The viewer `u7` has the number 7."""
    return np.array([int(viewer[1:]) for viewer in viewers], np.int64)


@pytest.mark.parametrize("digits", [3, 17], ids=["whole microseconds", "any latency"])
def test_exposures_as_numbers_are_those_by_row(database: Database, digits: int) -> None:
    kinds = [
        {"arm_assigned": arm, "arm_served": served, "forced": forced, "outcome": outcome}
        for arm, served in (("main", "main"), ("canary", "canary"), ("canary", "main"), ("main", "static"))
        for forced in (False, True)
        for outcome in ("ok", "error", "timeout", "short")
    ]
    rows = [
        shown(
            n, served_ms=NOW + 99 - n, user_id=f"u{n % 3}", stage=n, latency_ms=round(n / 3, digits), **kind
        )
        for n, kind in enumerate(kinds)
    ]
    with database.begin() as connection:
        store_exposures(connection, [*rows, shown(99, served_ms=NOW, stage=2**31 - 1, release_id="other")])
    with database.read() as connection:
        by_row = exposures_of_release(connection, "r1")
        (read,) = numbers_of_release([connection], by_digits, "r1")
        (part,) = numbers_of_release([connection], by_digits, "r1", by_row[1].row, by_row[3].row)
        (between,) = numbers_between(connection, by_digits, NOW + 90, NOW + 99)
        (far,) = numbers_of_release([connection], by_digits, "other")
        assert numbers_of_release([connection], by_digits, "none") == []
        ids = request_ids_of(connection, read.row.tolist()[::-1])
        found = rows_and_items_of(connection, [*ids, "unknown"])
    wanted = [one.exposure for one in by_row]
    assert read.row.tolist() == [one.row for one in by_row]
    assert ids[::-1] == [one.request_id for one in wanted]
    rows, texts = found
    assert rows == {one.exposure.request_id: one.row for one in by_row}
    assert [json.loads(texts[one.exposure.request_id]) for one in by_row] == [
        list(one.exposure.items) for one in by_row
    ]
    assert read.viewer.tolist() == by_digits([one.user_id for one in wanted]).tolist()
    assert read.served_ms.tolist() == [one.served_ms for one in wanted]
    assert read.stage.tolist() == [one.stage for one in wanted]
    assert read.latency_ms.tolist() == [one.latency_ms for one in wanted]  # to the last bit
    for flags, one in zip(read.flags.tolist(), wanted, strict=True):
        assert {name for name, bit in FLAGS.items() if flags & bit} == {
            *(["canary"] if one.arm_assigned == "canary" else []),
            *(["forced"] if one.forced else []),
            *(["fell_back"] if one.arm_served != one.arm_assigned else []),
            *([one.outcome] if one.outcome != "ok" else []),
        }
    assert part.row.tolist() == read.row.tolist()[2:4]
    assert between.served_ms.tolist() == list(range(NOW + 90, NOW + 100))
    assert far.stage.tolist() == [2**31 - 1]


def test_exposures_as_numbers_come_in_portions_of_their_release_alone(database: Database) -> None:
    rows = [
        shown(n, request_id=f"q{n}", user_id=f"u{n}", release_id="r1" if n % 9 else "r2", latency_ms=n / 8)
        for n in range(9 * AGGREGATED // 7)
    ]
    with database.begin() as connection:
        store_exposures(connection, rows)
    with database.read() as connection, database.read() as other:
        read = numbers_of_release([connection], by_digits, "r1")
        halves = numbers_of_release([connection, other], by_digits, "r1")
        rest = numbers_of_release([connection, other], by_digits, "r1", int(read[0].row[-1]))
        with pytest.raises(ZeroDivisionError):
            numbers_of_release([connection, other], lambda _: np.array(1 // 0), "r1")
        assert request_ids_of(other, [2]) == ["q1"]  # the connections are free again
    of_release = [n for n in range(9 * AGGREGATED // 7) if n % 9]
    assert [portion.row.size for portion in read] == [AGGREGATED, len(of_release) - AGGREGATED]
    for portions, wanted in ((read, of_release), (halves, of_release), (rest, of_release[AGGREGATED:])):
        viewers = np.concatenate([portion.viewer for portion in portions])
        latencies = np.concatenate([portion.latency_ms for portion in portions])
        assert viewers.tolist() == wanted
        assert latencies.tolist() == [n / 8 for n in wanted]


def test_many_are_read_at_once_and_come_in_order(database: Database) -> None:
    with database.begin() as connection:
        store_exposures(connection, [shown(n, request_id=f"q{n}") for n in range(1, 2 * MANY)])
    wanted = list(range(2 * MANY - 1, 0, -1))
    parts = database.read_in_parts(request_ids_of, wanted)
    assert len(parts) == (2 if database.dialect == "postgresql" else 1)
    assert list(chain.from_iterable(parts)) == [f"q{n}" for n in wanted]


def test_a_viewer_whom_nobody_can_have_served_is_refused(database: Database) -> None:
    with database.begin() as connection:
        store_exposures(connection, [shown(1, user_id="u1"), shown(2, user_id="u2\nu3")])
    with (
        database.read() as connection,
        pytest.raises(InvalidInputError, match="exposures 1 to 2: a viewer's id"),
    ):
        numbers_of_release([connection], by_digits, "r1")


def test_the_positions_of_stored_exposures_are_known(database: Database) -> None:
    with database.begin() as connection:
        store_exposures(connection, [shown(3), shown(5)])
        asked = [LogPosition("recommendation_exposures", 0, offset) for offset in (3, 4, 5, 6)]
        assert exposure_positions(connection, asked) == {asked[0], asked[2]}
        assert exposure_positions(connection, []) == set()


@pytest.mark.postgresql
def test_exposures_are_appended_by_one_transaction_at_a_time(postgresql_database: str) -> None:
    """Else a row could become visible after one with a higher number, and be passed over."""
    migrate(postgresql_database)
    opened = open_database(postgresql_database)
    held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    with opened.begin() as connection:
        store_exposures(connection, [shown(1)])
        assert connection.execute(held).scalar() == 1
    with opened.read() as connection:
        assert connection.execute(held).scalar() == 0
    opened.close()
