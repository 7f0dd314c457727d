"""What only Apache Kafka does: brokers that go away, topics of somebody else, a log that was trimmed."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient, TopicPartition

from core.errors import DependencyError, InvalidInputError, InvalidSettingError
from storage.event_log import Consumer, Message, Record
from storage.event_log_kafka import KafkaEventLog
from tests.servers import Server
from tests.support import free_port, wait_until

pytestmark = pytest.mark.kafka


@pytest.fixture
def log(kafka_servers: str) -> Iterator[KafkaEventLog]:
    opened = KafkaEventLog(kafka_servers, partitions=1, timeout_ms=4_000)
    yield opened
    opened.close()


@pytest.fixture
def admin(kafka_servers: str) -> Iterator[KafkaAdminClient]:
    with KafkaAdminClient(bootstrap_servers=kafka_servers) as client:
        yield client


def name() -> str:
    return f"it-{uuid.uuid4().hex}"


def read(consumer: Consumer, count: int) -> list[Record]:
    records: list[Record] = []

    def enough() -> bool:
        try:
            records.extend(consumer.poll(500, 0.1))
        except DependencyError:
            return False  # the contract: polling again is right
        return len(records) >= count

    wait_until(enough, 60, f"{count} records")
    return records


def test_a_broker_that_went_away_is_an_error_and_comes_back(log: KafkaEventLog, kafka_server: Server) -> None:
    topic = name()
    consumer = log.consumer(name(), [topic])
    log.append(topic, [Message("u", b"before")])
    assert [record.value for record in read(consumer, 1)] == [b"before"]
    kafka_server.stop()
    try:
        with pytest.raises(DependencyError, match="Kafka at"):
            log.append(topic, [Message("u", b"lost or not, the sender does not know")])
    finally:
        kafka_server.start()

    def appended() -> bool:
        try:
            log.append(topic, [Message("u", b"after")])
        except DependencyError:
            return False
        return True

    wait_until(appended, 60, "an append after the restart")
    assert read(consumer, 1)[-1].value is not None
    consumer.close()


def test_no_broker_at_all_is_a_dependency_error_in_time() -> None:
    log = KafkaEventLog(f"127.0.0.1:{free_port()}", timeout_ms=500)
    with pytest.raises(DependencyError, match="Kafka at"):
        log.append("t", [Message("u", b"x")])
    with pytest.raises(DependencyError, match="Kafka at"):
        log.consumer("g", ["t"])
    log.close()


def test_a_topic_that_keeps_the_senders_time_is_refused(
    log: KafkaEventLog, admin: KafkaAdminClient, kafka_servers: str
) -> None:
    theirs, ours = name(), name()
    admin.create_topics({theirs: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    with pytest.raises(InvalidSettingError, match=r"message\.timestamp\.type"):
        log.consumer(name(), [theirs])
    log.append(ours, [Message("u", b"x")])
    another = KafkaEventLog(kafka_servers)
    another.append(ours, [Message("u", b"y")])
    another.close()


def test_a_message_the_broker_does_not_take_is_invalid_input(log: KafkaEventLog) -> None:
    with pytest.raises(InvalidInputError):
        log.append(name(), [Message("u", bytes(2 * 1024 * 1024))])


def test_a_log_trimmed_past_our_offset_is_read_on_and_said_aloud(
    log: KafkaEventLog, admin: KafkaAdminClient, caplog: pytest.LogCaptureFixture
) -> None:
    topic, group = name(), name()
    log.append(topic, [Message("u", str(i).encode()) for i in range(10)])
    first = log.consumer(group, [topic])
    record = read(first, 10)[0]
    first.commit({(where := next(iter(log.ends(topic)))): record.offset + 3})
    first.close()
    admin.delete_records({TopicPartition(*where): 6})
    with caplog.at_level(logging.ERROR, "storage.event_log_kafka"):
        second = log.consumer(group, [topic])
        assert [record.offset for record in read(second, 4)] == [6, 7, 8, 9]
    assert "offsets 3 to 5 are lost" in caplog.text
    second.close()
