"""The contract of the event log, against the embedded log and Apache Kafka."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.clock import MINUTE, SystemClock
from storage.event_log import CommitRefusedError, Consumer, EventLog, Message, Record, TopicPartition
from storage.event_log_kafka import KafkaEventLog
from storage.event_log_sqlite import SqliteEventLog
from tests.support import wait_until

Join = Callable[..., Consumer]


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    if request.param == "sqlite":
        opened: EventLog = SqliteEventLog(tmp_path / "events.db", SystemClock(), partitions=2)
    else:
        opened = KafkaEventLog(request.getfixturevalue("kafka_servers"), partitions=2)
    yield opened
    opened.close()


@pytest.fixture
def topic() -> str:
    return f"topic-{uuid.uuid4().hex}"


@pytest.fixture
def join(log: EventLog, topic: str) -> Iterator[Join]:
    """Join a group that nobody else has; whoever joined leaves at the end."""
    joined: list[Consumer] = []
    prefix = uuid.uuid4().hex

    def make(group: str = "readers") -> Consumer:
        joined.append(log.consumer(f"{prefix}-{group}", [topic]))
        return joined[-1]

    yield make
    for consumer in joined:
        consumer.close()


def messages(count: int, first: int = 0) -> list[Message]:
    return [Message(f"user{i % 7}", f"event {i}".encode()) for i in range(first, first + count)]


def read(consumer: Consumer, count: int, at_once: int = 500) -> list[Record]:
    records: list[Record] = []

    def enough() -> bool:
        records.extend(consumer.poll(at_once, 0.1))
        return len(records) >= count

    wait_until(enough, 30, f"{count} records")
    return records


def next_offsets(records: list[Record]) -> dict[TopicPartition, int]:
    found: dict[TopicPartition, int] = {}
    for record in records:
        where = TopicPartition(record.topic, record.partition)
        found[where] = max(found.get(where, 0), record.offset + 1)
    return found


def values(records: list[Record]) -> list[bytes]:
    return sorted(record.value or b"" for record in records)


def test_what_is_appended_is_read(log: EventLog, topic: str, join: Join) -> None:
    log.append(topic, [Message("u1", b"one"), Message("u1", b"\x00\xff two"), Message("u1", b"")])
    records = read(join(), 3)
    assert [(r.topic, r.key, r.value) for r in records] == [
        (topic, "u1", b"one"),
        (topic, "u1", b"\x00\xff two"),
        (topic, "u1", b""),
    ]
    assert [r.offset for r in records] == [0, 1, 2]


def test_a_record_carries_the_time_of_its_receipt(log: EventLog, topic: str, join: Join) -> None:
    before = SystemClock().now_ms()
    log.append(topic, messages(1))
    assert before - MINUTE <= read(join(), 1)[0].timestamp_ms <= SystemClock().now_ms() + MINUTE


def test_messages_of_a_key_keep_their_order_in_one_partition(log: EventLog, topic: str, join: Join) -> None:
    for first in range(0, 100, 25):
        log.append(topic, messages(25, first))
    by_key = defaultdict(list)
    for record in read(join(), 100):
        by_key[record.key].append(record)
    assert len(by_key) == 7
    for records in by_key.values():
        assert len({record.partition for record in records}) == 1
        numbers = [int(str(record.value, "ascii").split()[1]) for record in records if record.value]
        assert numbers == sorted(numbers)


def test_offsets_of_a_partition_follow_each_other(log: EventLog, topic: str, join: Join) -> None:
    log.append(topic, messages(50))
    log.append(topic, messages(50))
    by_partition = defaultdict(list)
    for record in read(join(), 100, at_once=7):
        by_partition[record.partition].append(record.offset)
    assert {p: offsets == list(range(len(offsets))) for p, offsets in by_partition.items()} == {
        0: True,
        1: True,
    }


def test_a_message_without_a_key_is_kept_too(log: EventLog, topic: str, join: Join) -> None:
    log.append(topic, [Message(None, b"x")])
    assert [(r.key, r.value) for r in read(join(), 1)] == [(None, b"x")]


def test_a_poll_returns_no_more_than_asked_for(log: EventLog, topic: str, join: Join) -> None:
    log.append(topic, messages(20))
    consumer = join()
    wait_until(lambda: 0 < len(consumer.poll(3, 0.1)) <= 3)


def test_a_poll_of_an_empty_topic_is_empty(join: Join) -> None:
    assert join().poll(10, 0.05) == []


def test_a_reader_that_waits_gets_what_comes_later(log: EventLog, topic: str, join: Join) -> None:
    consumer = join()
    consumer.poll(10, 0.05)
    log.append(topic, messages(5))
    assert len(read(consumer, 5)) == 5


def test_the_ends_are_the_next_offsets(log: EventLog, topic: str, join: Join) -> None:
    assert log.ends(topic) == {TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 0}
    log.append(topic, messages(30))
    log.append(topic, [])
    assert log.ends(topic) == next_offsets(read(join(), 30))


def test_a_group_goes_on_where_it_committed(log: EventLog, topic: str, join: Join) -> None:
    log.append(topic, messages(10))
    first = join()
    first.commit(next_offsets(read(first, 10)))
    first.close()
    log.append(topic, messages(3, first=10))
    assert values(read(join(), 3)) == [b"event 10", b"event 11", b"event 12"]


def test_what_was_not_committed_is_read_again(log: EventLog, topic: str, join: Join) -> None:
    log.append(topic, messages(10))
    first = join()
    read(first, 10)
    first.close()
    assert len(read(join(), 10)) == 10


def test_groups_do_not_disturb_each_other(log: EventLog, topic: str, join: Join) -> None:
    log.append(topic, messages(10))
    one = join("one")
    one.commit(next_offsets(read(one, 10)))
    assert len(read(join("other"), 10)) == 10


def test_the_late_commit_of_a_partition_that_moved_is_refused(log: EventLog, topic: str, join: Join) -> None:
    log.append(topic, messages(40))
    old = join()
    positions = next_offsets(read(old, 40))
    new = join()
    moved: list[Record] = []

    def new_has_some() -> bool:
        old.poll(500, 0.05)
        moved.extend(new.poll(500, 0.05))
        return bool(moved)

    wait_until(new_has_some, 60, "the newer member reading")
    taken = next_offsets(moved)
    with pytest.raises(CommitRefusedError):
        old.commit({where: positions[where] for where in taken})
    new.commit(taken)


def test_appends_of_many_threads_are_all_there_once(log: EventLog, topic: str, join: Join) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: log.append(topic, messages(5, first=5 * i)), range(40)))
    assert values(read(join(), 200)) == sorted(message.value for message in messages(200))
