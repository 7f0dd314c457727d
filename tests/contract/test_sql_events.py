"""Interactions, dead letters and the account of offsets, against SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from core.errors import ConflictError, InvalidInputError
from core.events import Interaction
from storage.database import Database, open_database
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
