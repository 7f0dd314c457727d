"""The same reader on real servers, one at a time: Kafka, PostgreSQL, MongoDB."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from core.clock import SystemClock
from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS
from core.exposures import encode_exposures
from core.ids import new_id
from ingest.audit import audit
from ingest.loading import HistoryRow, load_history
from ingest.settings import IngestSettings
from storage.database import open_database
from storage.event_log import Message
from storage.event_log_kafka import KafkaEventLog
from storage.migrate import migrate
from storage.serving_store_mongo import MongoServingStore
from tests.ingest_platform import FaultyDatabase, FaultyEventLog, Platform, fails, platform
from tests.ingest_support import exposure, messages
from tests.support import wait_until


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path, SystemClock()) as made:
        yield made


@pytest.mark.kafka
def test_through_kafka_nothing_is_lost_or_counted_twice(here: Platform, kafka_servers: str) -> None:
    log = KafkaEventLog(kafka_servers, partitions=4)
    on_kafka = replace(here, log=log)
    settings = IngestSettings(
        group=f"reader-{new_id()}", batch_records=500, poll_ms=200, dead_letter_limit=100_000
    )
    digest, now_ms = uuid.uuid4().hex, here.clock.now_ms()
    rows = [HistoryRow(f"u{n % 100}", f"v{n % 300}", 1 + n % 5, now_ms - n * 1_000) for n in range(3_000)]
    load_history(log, rows, digest)
    load_history(log, rows[:200], digest)
    log.append(TOPIC_INTERACTIONS, [Message("k", b"{")])
    log.append(TOPIC_EXPOSURES, [Message(None, encode_exposures([exposure(new_id()), exposure(new_id())]))])

    crashing = FaultyEventLog(log, on_commit=_at(3, KeyboardInterrupt()))
    consumer = crashing.consumer(settings.group, sorted(settings.kinds))
    reader = on_kafka.reader(settings, log=crashing)
    with pytest.raises(KeyboardInterrupt):  # between the SQL commit and the offset commit of its third batch
        wait_until(lambda: reader.step(consumer) < 0, 60, "the crash")
    consumer.close()
    assert on_kafka.rows_stored() > 0

    reader = on_kafka.reader(settings)
    consumer = log.consumer(settings.group, sorted(settings.kinds))
    wait_until(lambda: reader.step(consumer) == 0 and audit(here.database, log).waiting == 0, 60, "the end")
    consumer.close()
    report = audit(here.database, log)
    log.close()
    assert report.clean, report.sentences()
    assert sum(part.account.duplicates for part in report.partitions) >= 200
    stored = {row.interaction.event_id for row in on_kafka.rows()}
    assert stored >= {f"load-{digest[:8]}-{n}" for n in range(3_000)}
    on_kafka.assert_documents_follow()


@pytest.mark.postgresql
def test_f11_in_postgresql_a_terminated_backend_costs_one_retry(
    here: Platform, postgresql_database: str
) -> None:
    migrate(postgresql_database)
    database = open_database(postgresql_database)
    on_postgresql = replace(here, database=database)
    here.log.append(TOPIC_INTERACTIONS, messages(range(1_000), here.clock.now_ms() - 10_000))
    here.log.append(TOPIC_INTERACTIONS, [*messages([1, 2], here.clock.now_ms()), Message("k", b"{")])
    here.log.append(TOPIC_EXPOSURES, [Message(None, encode_exposures([exposure("r1")]))])
    batches = [0]

    def terminate() -> None:
        batches[0] += 1
        if batches[0] == 3:
            _terminate_backends(postgresql_database)

    settings = IngestSettings(batch_records=100)
    reader = on_postgresql.read_all(settings, database=FaultyDatabase(database, after=terminate))
    retries = reader.metrics.registry.get_sample_value("understudy_reader_retries_total", {"step": "store"})
    assert retries == 1
    report = audit(database, here.log)
    assert report.clean and report.waiting == 0, report.sentences()
    assert [row.interaction.event_id for row in on_postgresql.rows()] == [f"e{n}" for n in range(1_000)]
    assert [report.partitions[0].account.duplicates, report.partitions[0].account.dead] == [2, 1]
    on_postgresql.assert_documents_follow()
    database.close()


@pytest.mark.mongodb
def test_documents_in_mongodb_follow_and_a_replay_leaves_them_as_they_are(
    here: Platform, mongodb_url: str
) -> None:
    store = MongoServingStore(f"{mongodb_url}/ingest_{new_id()}", here.clock)
    on_mongodb = replace(here, serving_store=store)
    here.log.append(TOPIC_INTERACTIONS, messages(range(500), here.clock.now_ms() - 10_000))
    crashing = FaultyEventLog(here.log, on_commit=fails(1, KeyboardInterrupt()))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        on_mongodb.read_all(log=crashing)
    before = on_mongodb.profiles()
    on_mongodb.read_all()
    assert on_mongodb.profiles() == before
    on_mongodb.assert_documents_follow()
    store.close()


def _at(call: int, error: BaseException) -> object:
    calls = [0]

    def fault() -> None:
        calls[0] += 1
        if calls[0] == call:
            raise error

    return fault


def _terminate_backends(url: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        connection.cursor().execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        connection.close()
