"""What only the embedded event log does: takeover by the clock, appends that share a transaction."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from core.clock import HOUR, ManualClock
from core.errors import DependencyError
from storage.event_log import CommitRefusedError, Message, TopicPartition
from storage.event_log_sqlite import SESSION_MS, SqliteEventLog

WHERE = TopicPartition("t", 0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def log(tmp_path: Path, clock: ManualClock) -> SqliteEventLog:
    return SqliteEventLog(tmp_path / "events.db", clock)


def test_the_newest_member_reads_and_the_older_stands_by(log: SqliteEventLog) -> None:
    log.append("t", [Message("u", b"1")])
    old = log.consumer("g", ["t"])
    new = log.consumer("g", ["t"])
    assert old.poll(10, 0) == []
    assert len(new.poll(10, 0)) == 1
    with pytest.raises(CommitRefusedError, match="newer reader"):
        old.commit({WHERE: 1})


def test_a_member_that_stands_by_takes_over_when_the_owner_is_gone(
    log: SqliteEventLog, clock: ManualClock
) -> None:
    log.append("t", [Message("u", b"1"), Message("u", b"2")])
    old = log.consumer("g", ["t"])
    new = log.consumer("g", ["t"])
    new.poll(1, 0)
    new.commit({WHERE: 1})
    clock.move(SESSION_MS + 1)
    assert [record.value for record in old.poll(10, 0)] == [b"2"]
    with pytest.raises(CommitRefusedError):
        new.commit({WHERE: 2})
    old.commit({WHERE: 2})


def test_an_owner_that_polls_is_not_taken_over(log: SqliteEventLog, clock: ManualClock) -> None:
    old = log.consumer("g", ["t"])
    new = log.consumer("g", ["t"])
    for _ in range(4):
        clock.move(SESSION_MS // 2)
        new.poll(1, 0)
        assert old.poll(1, 0) == []
    new.commit({WHERE: 0})


def test_a_member_that_leaves_hands_over_at_once(log: SqliteEventLog) -> None:
    old = log.consumer("g", ["t"])
    log.consumer("g", ["t"]).close()
    log.append("t", [Message(None, b"x")])
    assert len(old.poll(10, 0)) == 1


def test_records_carry_the_logs_own_time(log: SqliteEventLog, clock: ManualClock) -> None:
    log.append("t", [Message("u", b"1")])
    assert log.consumer("g", ["t"]).poll(1, 0)[0].timestamp_ms == clock.now_ms()


def test_another_process_sees_what_was_appended(tmp_path: Path, clock: ManualClock) -> None:
    one = SqliteEventLog(tmp_path / "events.db", clock)
    other = SqliteEventLog(tmp_path / "events.db", clock)
    consumer = other.consumer("g", ["t"])
    one.append("t", [Message("u", b"1")])
    assert len(consumer.poll(10, 1)) == 1
    assert other.ends("t") == {WHERE: 1}


def test_a_reader_that_is_stopped_in_its_commit_holds_up_no_append(
    log: SqliteEventLog, tmp_path: Path
) -> None:
    reader = sqlite3.connect(tmp_path / "events-groups.db", isolation_level=None)
    log.consumer("g", ["t"])
    reader.execute("BEGIN IMMEDIATE")
    log.append("t", [Message("u", b"1")])
    reader.close()
    assert log.ends("t") == {WHERE: 1}


def test_records_after_a_deleted_file_get_offsets_that_were_never_given(
    log: SqliteEventLog, tmp_path: Path, clock: ManualClock
) -> None:
    log.append("t", [Message("u", b"1"), Message("u", b"2")])
    log.consumer("g", ["t"]).commit({WHERE: 2})
    log.close()
    (tmp_path / "events.db").unlink()
    anew = SqliteEventLog(tmp_path / "events.db", clock)
    assert anew.ends("t") == {WHERE: 2}
    anew.append("t", [Message("u", b"3"), Message("u", b"4")])
    read = anew.consumer("g", ["t"]).poll(10, 0)
    assert [(record.offset, record.value) for record in read] == [(2, b"3"), (3, b"4")]


def test_what_is_old_and_read_by_every_group_is_trimmed(log: SqliteEventLog, clock: ManualClock) -> None:
    log.append("t", [Message("u", b"1"), Message("u", b"2")])
    clock.move(HOUR)
    log.append("t", [Message("u", b"3")])
    log.consumer("quick", ["t"]).commit({WHERE: 3})
    slow = log.consumer("slow", ["t"])
    assert log.trim("t", clock.now_ms()) == 0  # this group has not said how far it has come
    slow.commit({WHERE: 1})
    assert log.trim("t", clock.now_ms()) == 1
    slow.commit({WHERE: 3})
    assert log.trim("t", clock.now_ms()) == 1
    assert log.ends("t") == {WHERE: 3}
    assert [record.value for record in log.consumer("new", ["t"]).poll(10, 0)] == [b"3"]


def test_a_topic_without_a_record_ends_at_zero(log: SqliteEventLog) -> None:
    assert log.ends("never") == {TopicPartition("never", 0): 0}


def test_a_log_that_cannot_be_written_is_a_dependency_error(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "events.db").mkdir()
    with pytest.raises(DependencyError, match=r"events\.db"):
        SqliteEventLog(tmp_path / "events.db", clock)


def test_a_failed_append_stores_nothing_and_says_so(log: SqliteEventLog, tmp_path: Path) -> None:
    log.append("t", [Message("u", b"1")])
    breaker = sqlite3.connect(tmp_path / "events.db")
    breaker.execute("DROP TABLE records")
    breaker.commit()
    breaker.close()
    with pytest.raises(DependencyError, match="records"):
        log.append("t", [Message("u", b"2")])
    assert log.ends("t") == {WHERE: 1}
