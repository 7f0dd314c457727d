"""An embedded platform in a folder, and faults wrapped around its ports: for the reader's larger tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.clock import Clock, ManualClock
from core.events import TOPIC_INTERACTIONS
from core.metrics import new_registry
from ingest.documents import profiles_after, trending_after, trending_rows
from ingest.metrics import ReaderMetrics
from ingest.reader import Reader
from ingest.session_documents import EMPTY_SHELF
from ingest.settings import IngestSettings
from storage.database import Database, open_database
from storage.event_log import Consumer, EventLog, LogPosition, Message, Positions, Record, TopicPartition
from storage.event_log_sqlite import SqliteEventLog
from storage.interactions import LoggedInteraction, stored_under
from storage.migrate import migrate
from storage.progress import accounted_offsets
from storage.serving_store import TRENDING_REALTIME, USER_REALTIME_PROFILE, Document, ServingStore, Versions
from storage.serving_store_sqlite import SqliteServingStore
from tests.ingest_support import NOW, MemoryServingStore


@dataclass
class Platform:
    """The reader's surroundings, embedded, in one folder."""

    home: Path
    clock: Clock
    database: Database
    log: EventLog
    serving_store: ServingStore

    def reader(self, settings: IngestSettings | None = None, **parts: Any) -> Reader:
        """A reader on this platform; `parts` replace `log`, `database` or `serving_store` by faulty ones."""
        return Reader(
            parts.get("log", self.log),
            parts.get("database", self.database),
            parts.get("serving_store", self.serving_store),
            self.clock,
            settings or IngestSettings(),
            ReaderMetrics(new_registry("reader")),
            parts.get("stop", threading.Event()),
            parts.get("shelf", EMPTY_SHELF),
        )

    def consumer(self) -> Consumer:
        return self.log.consumer(IngestSettings().group, sorted(IngestSettings().kinds))

    def read_all(self, settings: IngestSettings | None = None, **parts: Any) -> Reader:
        """Let a new reader read until nothing is left."""
        reader = self.reader(settings, **parts)
        consumer = parts.get("log", self.log).consumer(IngestSettings().group, sorted(reader_kinds(settings)))
        while reader.step(consumer):
            pass
        consumer.close()
        return reader

    def rows(self, topic: str = TOPIC_INTERACTIONS) -> list[LoggedInteraction]:
        """Every stored interaction, in the order of the log."""
        with self.database.read() as connection:
            accounts = accounted_offsets(connection, topic)
            positions = [
                LogPosition(topic, partition, offset)
                for partition, account in accounts.items()
                for offset in range(account.first_offset, account.next_offset)
            ]
            return stored_under(connection, positions)

    def rows_stored(self, topic: str = TOPIC_INTERACTIONS) -> int:
        with self.database.read() as connection:
            return sum(account.stored for account in accounted_offsets(connection, topic).values())

    def profiles(self) -> dict[str, Document]:
        return dict(self.serving_store.scan(USER_REALTIME_PROFILE, limit=100_000))

    def trending(self) -> dict[str, Document]:
        return dict(self.serving_store.scan(TRENDING_REALTIME, limit=100_000))

    def assert_documents_follow(self) -> None:
        """The documents say exactly what applying every stored row once says."""
        rows = self.rows()
        assert self.profiles() == profiles_after({}, rows)
        assert self.trending() == trending_after({}, trending_rows(rows))


def reader_kinds(settings: IngestSettings | None) -> Mapping[str, str]:
    return (settings or IngestSettings()).kinds


@contextmanager
def platform(home: Path, clock: Clock | None = None) -> Iterator[Platform]:
    """A migrated, empty platform."""
    url = f"sqlite:///{home / 'understudy.db'}"
    migrate(url)
    with opened(home, clock or ManualClock(NOW)) as made:
        yield made


@contextmanager
def opened(home: Path, clock: Clock) -> Iterator[Platform]:
    """The platform that is already there."""
    made = Platform(
        home,
        clock,
        open_database(f"sqlite:///{home / 'understudy.db'}"),
        SqliteEventLog(home / "events.db", clock),
        SqliteServingStore(home / "serving" / "serving.db", clock),
    )
    try:
        yield made
    finally:
        made.database.close()
        made.log.close()
        made.serving_store.close()


class FaultyDatabase(Database):
    """A database whose transactions meet `before` at their start and `after` just before their commit."""

    def __init__(
        self,
        inner: Database,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._inner = inner
        self._before = before
        self._after = after

    @contextmanager
    def begin(self) -> Iterator[Any]:
        self._before()
        with self._inner.begin() as connection:
            yield connection
            self._after()

    @contextmanager
    def read(self) -> Iterator[Any]:
        with self._inner.read() as connection:
            yield connection


class FaultyServingStore(MemoryServingStore):
    """Meets `fault` (with the collection) before each write; everything else goes to `inner`."""

    def __init__(self, inner: ServingStore, fault: Callable[[str], None]) -> None:
        super().__init__()
        self._inner = inner
        self._fault = fault

    def get_many(self, collection: str, keys: Iterable[str]) -> dict[str, Document]:
        return self._inner.get_many(collection, keys)

    def put_many(
        self, collection: str, documents: Mapping[str, Document], expires_ms: int | None = None
    ) -> None:
        self._fault(collection)
        self._inner.put_many(collection, documents, expires_ms)

    def get_versions(self, collection: str, keys: Iterable[str]) -> tuple[dict[str, Document], Versions]:
        return self._inner.get_versions(collection, keys)

    def replace_many(
        self,
        collection: str,
        documents: Mapping[str, Document],
        versions: Versions,
        expires_ms: int | None = None,
    ) -> None:
        self._fault(collection)
        self._inner.replace_many(collection, documents, versions, expires_ms)


class FaultyEventLog:
    """Meets `on_poll` before each poll and `on_commit` before each commit."""

    def __init__(
        self,
        inner: EventLog,
        on_poll: Callable[[], None] = lambda: None,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._inner = inner
        self._on_poll = on_poll
        self._on_commit = on_commit

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        self._inner.append(topic, messages)

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        return _FaultyConsumer(self._inner.consumer(group, topics), self._on_poll, self._on_commit)

    def ends(self, topic: str) -> dict[TopicPartition, int]:
        return self._inner.ends(topic)

    def close(self) -> None:
        self._inner.close()


@dataclass
class _FaultyConsumer:
    inner: Consumer
    on_poll: Callable[[], None]
    on_commit: Callable[[], None]

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        self.on_poll()
        return self.inner.poll(max_records, timeout_s)

    def commit(self, positions: Positions) -> None:
        self.on_commit()
        self.inner.commit(positions)

    def close(self) -> None:
        self.inner.close()


def fails(times: int, error: Exception) -> Callable[..., None]:
    """A fault that raises `error` the first `times` times it is met."""
    left = [times]

    def fault(*_: object) -> None:
        if left[0] > 0:
            left[0] -= 1
            raise error

    return fault
