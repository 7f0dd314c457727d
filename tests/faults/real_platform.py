"""The reader between Apache Kafka and PostgreSQL: one topic, one group and one database for each test."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from core.clock import SystemClock
from core.ids import new_id
from ingest.audit import AuditReport, audit
from ingest.documents import profiles_after, trending_after, trending_rows
from ingest.lag import measure_lag
from ingest.reader import Reader
from ingest.settings import IngestSettings
from ingest.topics import EVENTS
from storage.database import open_database
from storage.event_log import Consumer, Message
from storage.event_log_kafka import KafkaEventLog
from storage.interactions import LoggedInteraction
from storage.migrate import migrate
from storage.serving_store_sqlite import SqliteServingStore
from tests.ingest_platform import Platform
from tests.ingest_support import messages
from tests.support import wait_until

BATCH = 100
SESSION_MS = 2_000


class OneTopic(IngestSettings):
    """Reads one topic alone, since tests share a broker."""

    only: str

    @property
    def kinds(self) -> Mapping[str, str]:
        return {self.only: EVENTS}


@dataclass(frozen=True)
class Place:
    """Where a platform is: enough for another process to open it too."""

    home: Path
    servers: str
    url: str
    topic: str
    session_ms: int = SESSION_MS

    @property
    def settings(self) -> OneTopic:
        return OneTopic(
            only=self.topic, group=self.topic, batch_records=BATCH, poll_ms=100, retry_most_ms=500
        )


@dataclass
class RealPlatform(Platform):
    """The embedded platform's brother; its account, rows and documents are those of the one topic."""

    place: Place

    def reader(self, settings: IngestSettings | None = None, **parts: Any) -> Reader:
        return super().reader(settings or self.place.settings, **parts)

    def send(self, numbers: Iterable[int], more: Sequence[Message] = ()) -> None:
        sent_ms = self.clock.now_ms() - 60_000
        self.log.append(self.place.topic, [*messages(numbers, sent_ms), *more])

    def waiting(self) -> int:
        return measure_lag(self.database, self.log, [self.place.topic]).total

    def read_up(self, reader: Reader, consumer: Consumer | None = None) -> None:
        """Let a reader read until nothing waits; it leaves the group if it joined here."""
        joined = consumer or reader.join()
        wait_until(lambda: reader.step(joined) == 0 and self.waiting() == 0, 120, "everything being read")
        if consumer is None:
            joined.close()

    def audited(self) -> AuditReport:
        return audit(self.database, self.log, [self.place.topic])

    def stored(self) -> list[LoggedInteraction]:
        return self.rows(self.place.topic)

    def assert_exactly(self, numbers: Iterable[int], dead: int = 0) -> None:
        """Nothing waits, is lost or stands twice: rows, account, log and documents tell the same story."""
        report, rows = self.audited(), self.stored()
        assert report.clean and report.waiting == 0, report.sentences()
        assert sorted(row.event_id for row in rows) == sorted(f"e{number}" for number in numbers)
        assert sum(part.account.dead for part in report.partitions) == dead
        assert self.profiles() == profiles_after({}, rows)
        assert self.trending() == trending_after({}, trending_rows(rows))


@contextmanager
def opened_at(place: Place) -> Iterator[RealPlatform]:
    """The platform at a place; its tables are there."""
    log = KafkaEventLog(place.servers, timeout_ms=4_000, session_timeout_ms=place.session_ms)
    clock = SystemClock()
    store = SqliteServingStore(place.home / "serving.db", clock)
    made = RealPlatform(place.home, clock, open_database(place.url), log, store, place)
    try:
        yield made
    finally:
        for part in (made.database, made.log, made.serving_store):
            part.close()


def new_place(home: Path, servers: str, url: str, session_ms: int = SESSION_MS) -> Place:
    """A place nobody has used, with its tables."""
    migrate(url)
    return Place(home, servers, url, f"fault-{new_id()}", session_ms)


@contextmanager
def running(reader: Reader, stop: threading.Event) -> Iterator[None]:
    """The reader's loop in a thread of its own; `stop` is the event it was made with."""
    thread = threading.Thread(target=reader.run, name="reader")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def counted(reader: Reader, name: str, **labels: str) -> float:
    return reader.metrics.registry.get_sample_value(f"understudy_reader_{name}", labels) or 0


@contextmanager
def adversary(url: str) -> Iterator[Any]:
    """A session of somebody else's in the database, in a transaction that ends with the block."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def execute(url: str, *statements: str) -> None:
    """Each statement in a transaction of its own."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        for statement in statements:
            connection.cursor().execute(statement)
    finally:
        connection.close()
