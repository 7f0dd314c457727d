"""Rows deleted on purpose, against SQLite and PostgreSQL: the account notes them, and they do not come back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection

from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS
from ingest.audit import PartitionAudit
from ingest.parsing import Batch
from ingest.persistence import store_batch
from storage.database import Database
from storage.dead_letters import DeadLetter, list_dead_letters
from storage.event_log import TopicPartition
from storage.exposures import LoggedExposure, exposures_between
from storage.interactions import stored_under
from storage.offsets import StoredOffsets, count_stored_offsets, offsets_without_row
from storage.progress import Progress, accounted_offsets
from storage.removal import (
    FORGOTTEN,
    ViewerRows,
    count_of_viewer,
    count_older,
    names_viewer,
    remove_older,
    remove_viewer,
)
from tests.ingest_support import NOW, event, exposure, logged

INTERACTIONS, EXPOSURES = TopicPartition(TOPIC_INTERACTIONS, 0), TopicPartition(TOPIC_EXPOSURES, 0)
# Ten events of two viewers, received a second apart; two records of exposures of both viewers.
EVENTS = [logged(n, event(n, user_id=f"u{n % 2}", received_ms=NOW + n * 1_000)) for n in range(10)]
SHOWN = [
    LoggedExposure(
        TOPIC_EXPOSURES,
        0,
        record,
        item,
        exposure(f"r{record}{item}", user_id=f"u{item}", served_ms=NOW + (record + item) * 1_000),
    )
    for record in range(2)
    for item in range(2)
]
LETTERS = [
    DeadLetter(TOPIC_INTERACTIONS, 0, 10, "details", "of u1", b'{"user_id": "u1", "video_id": "u0"}', NOW),
    DeadLetter(TOPIC_INTERACTIONS, 0, 11, "malformed", "", b'{"user_id":"u11", "video_id":"u1"', NOW),
]
BATCH = Batch(
    interactions=EVENTS,
    exposures=SHOWN,
    dead_letters=LETTERS,
    following={INTERACTIONS: 12, EXPOSURES: 2},
    records=14,
)


@pytest.fixture
def stored(database: Database) -> Database:
    store_batch(database, BATCH)
    return database


def audited(database: Database, where: TopicPartition, log_end: int) -> PartitionAudit:
    with database.read() as connection:
        account = accounted_offsets(connection, where.topic)[where.partition]
        found = count_stored_offsets(connection, where.topic).get(where.partition, StoredOffsets())
        gaps = offsets_without_row(connection, *where, account.first_offset, account.next_offset)
    return PartitionAudit(where, log_end, account, found, tuple(gaps))


def assert_clean(database: Database) -> None:
    for where, end in ((INTERACTIONS, 12), (EXPOSURES, 2)):
        part = audited(database, where, end)
        assert part.clean, part.sentence()


def removed(database: Database, where: TopicPartition) -> int:
    with database.read() as connection:
        return accounted_offsets(connection, where.topic)[where.partition].removed


def test_what_is_too_old_is_deleted_in_batches_and_is_not_lost(stored: Database) -> None:
    with stored.begin() as connection:
        assert count_older(connection, "interactions", NOW + 5_000) == 5
        counts = [remove_older(connection, "interactions", NOW + 5_000, 2) for _ in range(4)]
        left = stored_under(connection, [row.position for row in EVENTS])
    assert counts == [2, 2, 1, 0]
    assert [row.offset for row in left] == [5, 6, 7, 8, 9]
    assert removed(stored, INTERACTIONS) == 5
    assert_clean(stored)


def test_a_record_of_exposures_is_removed_with_its_last_one(stored: Database) -> None:
    with stored.begin() as connection:
        assert remove_older(connection, "exposures", NOW + 1_000, 10) == 1
    assert removed(stored, EXPOSURES) == 0
    assert_clean(stored)
    with stored.begin() as connection:
        assert remove_older(connection, "exposures", NOW + 1_001, 10) == 2
    assert removed(stored, EXPOSURES) == 1
    assert_clean(stored)


def test_a_viewer_is_deleted_from_every_table_and_others_stay(stored: Database) -> None:
    with stored.begin() as connection:
        assert count_of_viewer(connection, "u1") == ViewerRows(5, 2, 1)
        assert remove_viewer(connection, "u1") == ViewerRows(5, 2, 1)
        assert remove_viewer(connection, "u1") == count_of_viewer(connection, "u1") == ViewerRows()
        left = stored_under(connection, [row.position for row in EVENTS])
        assert {row.interaction.user_id for row in left} == {"u0"}
        assert [row.exposure.user_id for row in exposures_between(connection, 0, 2 * NOW)] == ["u0", "u0"]
        other, emptied = list_dead_letters(connection)
    assert (emptied.reason, emptied.message, emptied.value) == (FORGOTTEN, "", b"")
    assert other == LETTERS[1]
    assert_clean(stored)


def test_records_that_are_delivered_again_bring_no_row_back(stored: Database) -> None:
    with stored.begin() as connection:
        remove_viewer(connection, "u1")
    before = audited(stored, INTERACTIONS, 12)
    again = store_batch(stored, BATCH)
    assert {row.interaction.user_id for row in again.rows} == {"u0"}
    assert audited(stored, INTERACTIONS, 12) == before
    with stored.read() as connection:
        assert count_of_viewer(connection, "u1") == ViewerRows()
    assert_clean(stored)


def test_the_account_goes_on_beside_what_was_removed(stored: Database) -> None:
    with stored.begin() as connection:
        remove_viewer(connection, "u0")
    following = {INTERACTIONS: 13}
    store_batch(stored, Batch(interactions=[logged(12, event(12))], following=following, records=1))
    account = audited(stored, INTERACTIONS, 13).account
    assert account == Progress(0, 13, stored=11, dead=2, removed=5)
    assert audited(stored, INTERACTIONS, 13).clean


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b'{"user_id":"7"}', True),
        (b'{"user_id" : "7", "video', True),
        (b'{"user":7}', True),
        (b'{"user_id":"77"}', False),
        (b'{"user_id":"7.x"}', False),
        (b'{"video_id":"7"}', False),
        (b'{"rating":7}', False),
        (b"2026-01-31T12:00:00,7,GET /rate/v=9", True),
        (b"2026-01-31T12:00:00,8,GET /rate/v=7", False),
        (b"", False),
    ],
)
def test_a_refused_value_names_a_viewer_only_as_one(value: bytes, named: bool) -> None:
    assert names_viewer("7")(value) is named


def test_a_reader_and_those_who_delete_at_the_same_time_agree_on_the_account(database: Database) -> None:
    batches = [
        Batch(
            interactions=[
                logged(n, event(n, user_id=f"u{n % 3}", received_ms=NOW + n)) for n in range(k, k + 20)
            ],
            exposures=[
                LoggedExposure(TOPIC_EXPOSURES, 0, k // 20, item, exposure(f"c{k}{item}", user_id=f"u{item}"))
                for item in range(2)
            ],
            following={INTERACTIONS: k + 20, EXPOSURES: k // 20 + 1},
            records=21,
        )
        for k in range(0, 400, 20)
    ]
    done = threading.Event()

    def read() -> None:
        try:
            for batch in batches:
                store_batch(database, batch)
        finally:
            done.set()

    def delete_until_done(what: Callable[[Connection], object]) -> None:
        while True:
            last = done.is_set()
            with database.begin() as connection:
                what(connection)
            if last:
                return

    deletions: list[Callable[[Connection], object]] = [
        lambda connection: remove_older(connection, "interactions", NOW + 300, 7),
        lambda connection: remove_older(connection, "interactions", NOW + 300, 7),
        lambda connection: remove_viewer(connection, "u1"),
    ]
    with ThreadPoolExecutor(4) as pool:
        reading = pool.submit(read)
        list(pool.map(delete_until_done, deletions))
        reading.result()
    with database.begin() as connection:
        remove_older(connection, "interactions", NOW + 300, 400)
    part, shown = audited(database, INTERACTIONS, 400), audited(database, EXPOSURES, 20)
    assert part.clean, part.sentence()
    assert shown.clean and shown.rows == 20, shown.sentence()
    assert part.account.removed == 300 + 33  # the oldest 300, and of the other 100 those of u1
