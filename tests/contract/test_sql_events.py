"""Interactions, exposures, dead letters and the account of offsets, against SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import text

from core.errors import ConflictError, InvalidInputError
from core.events import Interaction
from core.exposures import Exposure
from storage.database import MANY, Database, open_database
from storage.dead_letters import (
    DeadLetter,
    count_dead_letters,
    count_reasons,
    list_dead_letters,
    mark_replayed,
    store_dead_letters,
    waiting_dead_letters,
)
from storage.event_log import LogPosition, TopicPartition
from storage.exposure_columns import columns_of_release, items_of, request_ids_of, rows_and_items_of
from storage.exposure_numbers import AGGREGATED, FLAGS, numbers_between, numbers_of_release
from storage.exposures import (
    LoggedExposure,
    exposure_positions,
    exposures_between,
    exposures_of_release,
    store_exposures,
)
from storage.interactions import (
    LoggedInteraction,
    StoredCount,
    count_by_partition,
    interactions_between,
    store_interactions,
    stored_under,
    training_columns,
)
from storage.migrate import migrate
from storage.progress import Progress, ProgressDelta, accounted_offsets, advance_progress, progress_of

TOPIC = "user_interactions"
NOW = 1_700_000_000_000


def logged(offset: int, partition: int = 0, **changed: Any) -> LoggedInteraction:
    given: dict[str, Any] = {
        "event_id": f"e{partition}-{offset}",
        "user_id": "u1",
        "video_id": "v1",
        "event_type": "progress",
        "details": {"watch_percentage": 50, "duration_watched": 7},
        "occurred_ms": NOW + offset,
        "received_ms": NOW + 1_000 + offset,
    }
    return LoggedInteraction(TOPIC, partition, offset, Interaction(**{**given, **changed}))


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


def test_interactions_are_stored_once_and_read_back_as_they_were(database: Database) -> None:
    rows = [
        logged(0),
        logged(1, user_id="u2", request_id="q1", details={"watch_percentage": 12.5}),
        logged(2, video_id=None, event_type="search", details={"query": "a\tb\\N\n\r'\"é🎬 {}"}),
        logged(3, event_type="rating", details={"rating": 4}),
        logged(0, partition=1),
    ]
    with database.begin() as connection:
        assert store_interactions(connection, rows) == 5
        assert store_interactions(connection, []) == 0
    with database.begin() as connection:
        assert store_interactions(connection, rows) == 0
        assert stored_under(connection, [row.position for row in rows]) == rows


def test_stored_under_returns_exactly_the_positions_asked_for(database: Database) -> None:
    rows = [logged(offset) for offset in (0, 1, 2, 5_000, 5_001)]
    with database.begin() as connection:
        store_interactions(connection, rows)
        wanted = [LogPosition(TOPIC, 0, offset) for offset in (5_001, 0, 2, 77, 90_000)]
        assert [row.offset for row in stored_under(connection, wanted)] == [0, 2, 5_001]
        assert stored_under(connection, []) == []


def test_the_first_of_two_events_with_one_id_stands(database: Database) -> None:
    first, second = logged(1, event_id="same", user_id="u1"), logged(2, event_id="same", user_id="u2")
    with database.begin() as connection:
        assert store_interactions(connection, [first, second, logged(3)]) == 2
        assert store_interactions(connection, [second]) == 0
        assert stored_under(connection, [first.position, second.position]) == [first]


def test_an_event_without_an_id_is_known_by_its_position(database: Database) -> None:
    row = logged(7, event_id=None)
    with database.begin() as connection:
        assert store_interactions(connection, [row]) == 1
        assert store_interactions(connection, [row]) == 0
        assert stored_under(connection, [row.position])[0].interaction.event_id == f"{TOPIC}:0:7"


def test_a_refused_batch_leaves_nothing(database: Database) -> None:
    no_time = logged(1, occurred_ms=None)
    with pytest.raises(ConflictError, match="occurred_ms"), database.begin() as connection:
        store_interactions(connection, [logged(0), no_time])
    with database.begin() as connection:
        assert count_by_partition(connection, TOPIC) == {}
        assert store_interactions(connection, [logged(0)]) == 1


@pytest.mark.postgresql
def test_postgresql_refuses_a_nul_as_input(postgresql_database: str) -> None:
    migrate(postgresql_database)
    opened = open_database(postgresql_database)
    with pytest.raises(InvalidInputError), opened.begin() as connection:
        store_interactions(connection, [logged(0, user_id="nul\0in it")])
    opened.close()


def test_outcomes_read_a_range_of_receipt_in_its_order(database: Database) -> None:
    rows = [
        logged(1, received_ms=NOW + 20, request_id="q1"),
        logged(2, received_ms=NOW + 10, video_id=None, event_type="search", details={"query": ""}),
        logged(3, received_ms=NOW + 30, event_type="complete", details={}),
        logged(4, received_ms=NOW + 31),
    ]
    with database.begin() as connection:
        store_interactions(connection, rows)
        columns = interactions_between(connection, NOW + 10, NOW + 30)
        assert columns.event_type == ["search", "progress", "complete"]
        assert columns.video_ids == [None, "v1", "v1"]
        assert columns.request_ids == [None, "q1", None]
        assert columns.user_ids == ["u1"] * 3
        np.testing.assert_array_equal(columns.watch_percentage, [np.nan, 50.0, np.nan])
        assert columns.received_ms.tolist() == [NOW + 10, NOW + 20, NOW + 30]
        only = interactions_between(connection, NOW, NOW + 100, {"complete"})
        assert only.event_type == ["complete"]
        assert interactions_between(connection, 0, 1).received_ms.tolist() == []


def test_training_reads_the_past_oldest_first(database: Database) -> None:
    rows = [
        logged(1, occurred_ms=NOW + 5, event_type="rating", details={"rating": 4.5}),
        logged(2, occurred_ms=NOW + 1),
        logged(3, occurred_ms=NOW + 1, partition=1, event_type="like", details={}),
        logged(4, occurred_ms=NOW + 6),
        logged(5, occurred_ms=NOW, video_id=None, event_type="search", details={"query": "x"}),
    ]
    with database.begin() as connection:
        store_interactions(connection, rows)
    with database.read() as connection:
        columns = training_columns(connection, NOW + 5)
        empty = training_columns(connection, 0)
    assert columns.occurred_ms.tolist() == [NOW + 1, NOW + 1, NOW + 5]
    assert columns.event_type == ["progress", "like", "rating"]
    np.testing.assert_array_equal(columns.value, [0.5, np.nan, 4.5])
    assert columns.user_ids == ["u1"] * 3
    assert columns.video_ids == ["v1"] * 3
    assert empty.user_ids == []
    assert empty.occurred_ms.dtype == np.int64
    assert empty.value.dtype == np.float64


def test_an_audit_counts_by_partition(database: Database) -> None:
    with database.begin() as connection:
        store_interactions(connection, [logged(3), logged(9), logged(4, partition=2)])
        assert count_by_partition(connection, TOPIC) == {
            0: StoredCount(2, 3, 9, 2),
            2: StoredCount(1, 4, 4, 1),
        }
        assert count_by_partition(connection, "another") == {}


def test_views_show_the_current_state(database: Database) -> None:
    schema = "activity." if database.dialect == "postgresql" else ""

    def view(name: str) -> list[tuple[Any, ...]]:
        with database.read() as connection:
            return sorted(tuple(row) for row in connection.execute(text(f"SELECT * FROM {schema}{name}")))

    with database.begin() as connection:
        store_interactions(
            connection,
            [
                logged(0),
                logged(1, event_type="complete", details={}),
                logged(2, event_type="like", details={}),
                logged(3, event_type="dislike", details={}),
                logged(4, event_type="comment", details={"comment_id": "c1", "parent_id": None}),
                logged(5, event_type="search", video_id=None, details={"query": "q'"}),
                logged(6, event_type="subscribe", video_id=None, details={"publisher_id": "p1"}),
                logged(7, event_type="subscribe", video_id=None, details={"publisher_id": "p2"}),
                logged(8, event_type="unsubscribe", video_id=None, details={"publisher_id": "p1"}),
            ],
        )
    assert view("watch_history") == [("u1", "v1", 50.0, 1, 2, NOW, NOW + 1)]
    assert view("likes") == [("u1", "v1", -1, NOW + 3)]
    assert view("comments") == [("c1", None, "u1", "v1", NOW + 4)]
    assert view("searches") == [("u1", "q'", None, NOW + 5)]
    assert view("subscriptions") == [("u1", "p2", NOW + 7)]


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


def test_dead_letters_keep_every_byte_and_the_reason(database: Database) -> None:
    value = bytes(range(256)) + b"\\x00\\N\t\n"
    letters = [
        DeadLetter(TOPIC, 0, 1, "malformed", "not JSON: nul \0 and \\ and\ttab", value, NOW),
        DeadLetter(TOPIC, 1, 1, "schema", "", b"", NOW),
    ]
    with database.begin() as connection:
        assert store_dead_letters(connection, letters) == 2
        assert store_dead_letters(connection, letters) == 0
        found = list_dead_letters(connection)
        assert [letter.value for letter in found] == [b"", value]
        assert found[1].message == "not JSON: nul \\0 and \\ and\ttab"
        assert list_dead_letters(connection, reason="schema") == [letters[1]]
        assert list_dead_letters(connection, limit=1) == [letters[1]]
        assert count_dead_letters(connection, TOPIC) == {0: 1, 1: 1}
        assert count_reasons(connection) == {"malformed": 1, "schema": 1}


def test_dead_letters_wait_until_they_were_sent_again(database: Database) -> None:
    letters = [
        DeadLetter(TOPIC, 0, offset, reason, "", b"x", NOW) for offset, reason in enumerate(["a", "b"] * 3)
    ]
    with database.begin() as connection:
        store_dead_letters(connection, [*letters, DeadLetter("other", 0, 1, "a", "", b"x", NOW)])
        rows = waiting_dead_letters(connection, 0, 100)
        assert [letter for _, letter in rows[:6]] == letters
        mark_replayed(connection, [rows[0][0], rows[5][0]], NOW)
        assert waiting_dead_letters(connection, 0, 100) == [*rows[1:5], rows[6]]
        assert waiting_dead_letters(connection, rows[1][0], 1) == [rows[2]]
        assert waiting_dead_letters(connection, 0, 9, reason="a", topic=TOPIC) == [rows[2], rows[4]]


def test_the_account_of_offsets_balances(database: Database) -> None:
    where, other = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
    with database.begin() as connection:
        advance_progress(
            connection,
            {
                where: ProgressDelta({5: "stored", 6: "duplicate", 7: "dead"}),
                other: ProgressDelta({0: "tombstone"}),
                TopicPartition(TOPIC, 2): ProgressDelta({}),
            },
        )
    with database.begin() as connection:
        # offsets 6 and 7 come again, 8 was trimmed away
        after = advance_progress(connection, {where: ProgressDelta({6: "duplicate", 7: "dead", 9: "stored"})})
    expected = Progress(
        first_offset=5, next_offset=10, stored=2, duplicates=1, dead=1, tombstones=0, skipped=1
    )
    assert after == {where: expected}
    with database.read() as connection:
        assert accounted_offsets(connection, TOPIC) == {0: expected, 1: Progress(0, 1, tombstones=1)}
        assert progress_of(connection, [where, TopicPartition("x", 0)]) == {where: expected}
    assert expected.balanced
    assert expected.read == 4


def test_a_thousand_rows_are_stored_fast_enough(tmp_path: Path) -> None:
    """About 10 ms here; the bound is loose because the machines that run this are shared."""
    import time

    url = f"sqlite:///{tmp_path / 'main.db'}"
    migrate(url)
    opened = open_database(url)
    rows = [logged(offset) for offset in range(1_000)]
    started = time.process_time()
    with opened.begin() as connection:
        assert store_interactions(connection, rows) == 1_000
    assert time.process_time() - started < 0.2
    opened.close()


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=texts, user_id=texts, value=st.binary(max_size=40), percentage=st.floats(0, 100))
def test_any_text_and_bytes_survive_the_way(
    database: Database, query: str, user_id: str, value: bytes, percentage: float
) -> None:
    rows = [
        logged(0, user_id=user_id, details={"query": query}),
        logged(1, details={"watch_percentage": percentage}),
    ]
    letter = DeadLetter(TOPIC, 0, 2, "malformed", query, value, NOW)
    with pytest.raises(ZeroDivisionError), database.begin() as connection:
        store_interactions(connection, rows)
        assert stored_under(connection, [row.position for row in rows]) == rows
        assert training_columns(connection, NOW + 5).value[1] == percentage / 100
        store_dead_letters(connection, [letter])
        assert list_dead_letters(connection) == [letter]
        raise ZeroDivisionError  # rolled back, so that each example begins with nothing
