"""What an event costs the reader: `make bench-ingest`. All figures of one run, into docs/ingest.md.

Costs are processor time of the process that reads, its client threads included; the servers' own is not in
them. Ratios compare figures of this one run, so that a busy machine spoils them less than the clock.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from core.clock import SystemClock
from core.events import parse_event
from ingest.parsing import parse_batch
from ingest.reader import Reader
from ingest.server import calm_garbage_collection
from storage.database import open_database
from storage.event_log import Message, Record
from storage.exposures import LoggedExposure
from storage.interactions import LoggedInteraction, store_interactions
from storage.migrate import migrate
from storage.serving_store import USER_REALTIME_PROFILE
from storage.serving_store_sqlite import SqliteServingStore
from storage.tables import interactions
from tests.benchmarks.ingest_events import events
from tests.benchmarks.quality_page import replaced
from tests.faults.real_platform import RealPlatform, new_place, opened_at, running
from tests.servers import kafka_server, postgresql_server, postgresql_url
from tests.support import wait_until

BEGIN: Final = "<!-- measured: written by `make bench-ingest` -->"
END: Final = "<!-- end of measured -->"
EVENTS, WARM, BATCH = 40_000, 10_000, 2_000
ROUNDS, PARSED = 200, 2_000
STORED, STORE_ROUNDS = 6_000, 7
PROBES, RATE = 100, 1_000


class PlainReader(Reader):
    """A reader that keeps no documents: what they cost is the difference."""

    def follow(self, rows: Sequence[LoggedInteraction], shown: Sequence[LoggedExposure] = ()) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Figure:
    """One line of the table. `more`: more is better."""

    name: str
    must: float
    aim: float
    more: bool = True

    def verdict(self, measured: float) -> str:
        def reaches(bound: float) -> bool:
            return measured >= bound if self.more else measured <= bound

        return "aim reached" if reaches(self.aim) else "reached" if reaches(self.must) else "**not reached**"


PARSE = Figure("decode and validate an event, µs", 1.5, 1.0, more=False)
POSTGRESQL = Figure("Kafka into PostgreSQL, events per CPU second", 15_000, 25_000)
BY_CLOCK = Figure("storing against SQLAlchemy's insert of the same rows, by the clock, times", 10, 10)
BY_CPU = Figure("storing against SQLAlchemy's insert of the same rows, client CPU, times", 10, 10)
SQLITE = Figure("Kafka into SQLite, events per CPU second", 15_000, 25_000)
FOLLOWING = Figure("CPU with real-time documents, PostgreSQL, times", 2, 1.5, more=False)
FOLLOWING_SQLITE = Figure("CPU with real-time documents, SQLite, times", 2, 1.5, more=False)
LAG = Figure(f"event to profile at {RATE:,} events/s, median, ms", 2_000, 300, more=False)
LAG_P99 = Figure(f"event to profile at {RATE:,} events/s, p99, ms", 2_000, 300, more=False)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench_ingest", description=__doc__)
    parser.add_argument("--write", type=Path, help="Markdown page whose measured part is replaced")
    given = parser.parse_args(arguments)
    text = table(list(measure()))
    if given.write is not None:
        page = given.write.read_text("utf-8")
        given.write.write_text(replaced(page, text, BEGIN, END), "utf-8")
    print(text)
    return 0


def measure() -> Iterator[tuple[Figure, float]]:
    """Every figure; whoever reads, has read WARM events before it is measured."""
    clock = SystemClock()
    sent = events(EVENTS, clock.now_ms())
    calm_garbage_collection()
    ours, theirs = parsing([message.value for message in sent[:PARSED]], clock.now_ms())
    print(f"json.loads alone: {theirs:.2f} µs", file=sys.stderr)
    yield PARSE, ours
    with ExitStack() as stack:
        kafka, postgresql = (stack.enter_context(made) for made in (kafka_server(), postgresql_server()))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place = new_place(folder, f"127.0.0.1:{kafka.port}", postgresql_url(postgresql), 10_000)
        here = stack.enter_context(opened_at(place))
        for first in range(0, EVENTS, BATCH):
            here.log.append(place.topic, sent[first : first + BATCH])
        yield from between_servers(here, sent)


def between_servers(here: RealPlatform, sent: Sequence[Message]) -> Iterator[tuple[Figure, float]]:
    """What needs Kafka; `sent` is in it."""
    plain = rate(here, PlainReader)
    yield POSTGRESQL, plain
    yield from zip((BY_CLOCK, BY_CPU), against_sqlalchemy(here, sent[:STORED]), strict=True)
    empty(here)
    yield FOLLOWING, plain / rate(here, Reader)
    sqlite, following = on_sqlite(here)
    yield SQLITE, sqlite
    yield FOLLOWING_SQLITE, sqlite / following
    yield from zip((LAG, LAG_P99), np.quantile(lags(here), (0.5, 0.99)).tolist(), strict=True)


def parsing(values: Sequence[bytes], now_ms: int) -> tuple[float, float]:
    """µs for one event: decoded and validated by us, and by `json.loads` for comparison; the best of some rounds."""
    ours = min(cpu(lambda: [parse_event(value, now_ms) for value in values]) for _ in range(ROUNDS))
    theirs = min(cpu(lambda: [json.loads(value) for value in values]) for _ in range(ROUNDS))
    return 1e6 * ours / len(values), 1e6 * theirs / len(values)


def on_sqlite(here: RealPlatform) -> tuple[float, float]:
    """Events per CPU second: without documents, with them."""
    rates = []
    for kind in (PlainReader, Reader):
        url = f"sqlite:///{here.home / kind.__name__}.db"
        migrate(url)
        rates.append(rate(replace(here, database=open_database(url)), kind))
    return rates[0], rates[1]


def rate(here: RealPlatform, kind: type[Reader]) -> float:
    """Events per CPU second of a new reader in a new group and with documents to be made anew, once it is warm."""
    settings = here.place.settings.model_copy(
        update={"group": f"{kind.__name__}-{time.monotonic_ns()}", "batch_records": BATCH}
    )
    # Documents that have these offsets already would not change, and would cost next to nothing.
    serving_store = SqliteServingStore(here.home / f"{settings.group}.db", here.clock)
    reader = kind(
        here.log,
        here.database,
        serving_store,
        here.clock,
        settings,
        here.reader().metrics,
        threading.Event(),
    )
    consumer = reader.join()
    read = 0
    while read < WARM:
        read += reader.step(consumer)
    warm, began = read, time.process_time()
    while read < EVENTS:
        read += reader.step(consumer)
    used = time.process_time() - began
    consumer.close()
    serving_store.close()
    return (read - warm) / used


def against_sqlalchemy(here: RealPlatform, sent: Sequence[Message]) -> tuple[float, float]:
    """How many times faster we store parsed events than SQLAlchemy's insert does: by the clock, in client CPU.

    In turn, in transactions of the same size, into the same empty table; the medians of some rounds.
    """
    records = [Record("t", 0, offset, here.clock.now_ms(), m.key, m.value) for offset, m in enumerate(sent)]
    rows = parse_batch(records, {"t": "events"}).interactions
    dictionaries = [as_row(row) for row in rows]
    statement = insert(interactions).on_conflict_do_nothing()
    ours, theirs = [], []
    for _ in range(STORE_ROUNDS):
        ours.append(stored(here, lambda connection, part: store_interactions(connection, rows[part])))
        theirs.append(
            stored(here, lambda connection, part: connection.execute(statement, dictionaries[part]))
        )
    clock, client = np.median(theirs, axis=0) / np.median(ours, axis=0)
    return float(clock), float(client)


def stored(here: RealPlatform, store: Callable[[Connection, slice], object]) -> tuple[float, float]:
    """Seconds by the clock and of this process's CPU for STORED rows into an empty table."""
    empty(here)
    clock, client = time.perf_counter(), time.process_time()
    for first in range(0, STORED, BATCH):
        with here.database.begin() as connection:
            store(connection, slice(first, first + BATCH))
    return time.perf_counter() - clock, time.process_time() - client


def as_row(row: LoggedInteraction) -> dict[str, Any]:
    event = row.interaction
    return {
        "topic": row.topic,
        "partition": row.partition,
        "offset": row.offset,
        "event_id": row.event_id,
        "user_id": event.user_id,
        "video_id": event.video_id,
        "event_type": event.event_type,
        "details": json.dumps(event.details),
        "watch_percentage": event.details.get("watch_percentage"),
        "rating": event.details.get("rating"),
        "request_id": event.request_id,
        "occurred_ms": event.occurred_ms,
        "received_ms": event.received_ms,
    }


def empty(here: RealPlatform) -> None:
    """Forget everything that was stored."""
    with here.database.begin() as connection:
        connection.exec_driver_sql(
            "TRUNCATE activity.interactions, activity.ingest_progress, output.dead_letters"
        )


def lags(here: RealPlatform) -> list[float]:
    """Milliseconds from an event that the log has taken to the profile that the next recommendation reads."""
    empty(here)
    stop = threading.Event()
    settings = here.place.settings.model_copy(
        update={"group": f"lag-{time.monotonic_ns()}", "batch_records": BATCH}
    )
    reader = here.reader(settings, stop=stop)
    with running(reader, stop), background(here, stop):
        wait_until(lambda: here.waiting() < RATE, 120, "the backlog being read")
        return [probe(here, number) for number in range(PROBES)]


@contextmanager
def background(here: RealPlatform, stop: threading.Event) -> Iterator[None]:
    """RATE events a second from others, fifty times a second."""

    def send() -> None:
        portion = RATE // 50
        due = time.monotonic()
        while not stop.is_set():
            here.log.append(here.place.topic, events(portion, here.clock.now_ms(), time.monotonic_ns()))
            due += portion / RATE
            stop.wait(max(0.0, due - time.monotonic()))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def probe(here: RealPlatform, number: int) -> float:
    viewer = f"probe{number}"
    (made,) = events(1, here.clock.now_ms(), number)
    value = json.loads(made.value) | {
        "user_id": viewer,
        "video_id": "v1",
        "event_type": "like",
        "details": {},
    }
    here.log.append(here.place.topic, [Message(viewer, json.dumps(value).encode())])
    sent = time.monotonic()
    wait_until(lambda: here.serving_store.get(USER_REALTIME_PROFILE, viewer), 60, "the profile")
    return 1000 * (time.monotonic() - sent)


def cpu(work: Callable[[], object]) -> float:
    """Processor seconds of this process for `work`."""
    began = time.process_time()
    work()
    return time.process_time() - began


def table(rows: Sequence[tuple[Figure, float]]) -> str:
    lines = ["| figure | measured | must | aim | |", "|---|---|---|---|---|"]
    for figure, measured in rows:
        values = (
            f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
            for value in (measured, figure.must, figure.aim)
        )
        lines.append(f"| {figure.name} | {' | '.join(values)} | {figure.verdict(measured)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
