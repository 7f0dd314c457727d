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
from sqlalchemy.dialects.postgresql import insert

from core.clock import SystemClock
from core.events import parse_event
from ingest.parsing import parse_batch
from ingest.reader import Reader
from ingest.server import calm_garbage_collection
from storage.database import open_database
from storage.event_log import Message, Record
from storage.interactions import LoggedInteraction
from storage.migrate import migrate
from storage.serving_store import USER_REALTIME_PROFILE
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
IDIOMATIC = 4_000
PROBES, RATE = 100, 1_000


class PlainReader(Reader):
    """A reader that keeps no documents: what they cost is the difference."""

    def follow(self, rows: Sequence[LoggedInteraction]) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Row:
    """One line of the table. `more`: more is better."""

    name: str
    measured: float
    must: float
    aim: float
    unit: str
    more: bool = True

    @property
    def verdict(self) -> str:
        def reaches(bound: float) -> bool:
            return self.measured >= bound if self.more else self.measured <= bound

        return "aim reached" if reaches(self.aim) else "reached" if reaches(self.must) else "**not reached**"


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


def measure() -> Iterator[Row]:
    """Every figure; whoever reads, has read WARM events before it is measured."""
    clock = SystemClock()
    sent = events(EVENTS, clock.now_ms())
    calm_garbage_collection()
    decode_us, json_us = parsing([message.value for message in sent[:PARSED]], clock.now_ms())
    yield Row("decode and validate an event", decode_us, 1.5, 1.0, "µs", more=False)
    print(f"json.loads alone: {json_us:.2f} µs", file=sys.stderr)
    with ExitStack() as stack:
        kafka, postgresql = (stack.enter_context(made) for made in (kafka_server(), postgresql_server()))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place = new_place(folder, f"127.0.0.1:{kafka.port}", postgresql_url(postgresql), 10_000)
        with opened_at(place) as here:
            for first in range(0, EVENTS, BATCH):
                here.log.append(place.topic, sent[first : first + BATCH])
            plain, following, times = on_postgresql(here, sent)
            yield Row("Kafka into PostgreSQL, events per CPU second", plain, 15_000, 25_000, "")
            yield Row("the same by the clock, against SQLAlchemy's insert alone", times, 10, 10, "times")
            sqlite, with_documents = on_sqlite(here)
            yield Row("Kafka into SQLite, events per CPU second", sqlite, 15_000, 25_000, "")
            yield Row(
                "CPU with real-time documents, PostgreSQL", plain / following, 2, 1.5, "times", more=False
            )
            yield Row(
                "CPU with real-time documents, SQLite", sqlite / with_documents, 2, 1.5, "times", more=False
            )
            lag = lags(here)
            yield Row(
                f"event to profile at {RATE:,} events/s, median",
                float(np.median(lag)),
                2_000,
                300,
                "ms",
                more=False,
            )
            yield Row(
                f"event to profile at {RATE:,} events/s, p99",
                float(np.quantile(lag, 0.99)),
                2_000,
                300,
                "ms",
                more=False,
            )


def parsing(values: Sequence[bytes], now_ms: int) -> tuple[float, float]:
    """µs for one event: decoded and validated by us, and by `json.loads` for comparison; the best of some rounds."""
    ours = min(cpu(lambda: [parse_event(value, now_ms) for value in values]) for _ in range(ROUNDS))
    theirs = min(cpu(lambda: [json.loads(value) for value in values]) for _ in range(ROUNDS))
    return 1e6 * ours / len(values), 1e6 * theirs / len(values)


def on_postgresql(here: RealPlatform, sent: Sequence[Message]) -> tuple[float, float, float]:
    """Events per CPU second without documents and with them; how many times faster by the clock the whole way
    is than SQLAlchemy's insert of the same rows alone."""
    plain, by_clock = rate(here, PlainReader)
    empty(here)
    times = by_clock / inserted(here, sent[:IDIOMATIC])
    empty(here)
    return plain, rate(here, Reader)[0], times


def on_sqlite(here: RealPlatform) -> tuple[float, float]:
    """Events per CPU second: without documents, with them."""
    rates = []
    for kind in (PlainReader, Reader):
        url = f"sqlite:///{here.home / kind.__name__}.db"
        migrate(url)
        rates.append(rate(replace(here, database=open_database(url)), kind))
    (plain, _), (following, _) = rates
    return plain, following


def rate(here: RealPlatform, kind: type[Reader]) -> tuple[float, float]:
    """Events per CPU second, and per second by the clock, of a new reader in a new group, once it is warm."""
    settings = here.place.settings.model_copy(
        update={"group": f"{kind.__name__}-{time.monotonic_ns()}", "batch_records": BATCH}
    )
    reader = kind(
        here.log,
        here.database,
        here.serving_store,
        here.clock,
        settings,
        here.reader().metrics,
        threading.Event(),
    )
    consumer = reader.join()
    read = 0
    while read < WARM:
        read += reader.step(consumer)
    warm, began, clock = read, time.process_time(), time.perf_counter()
    while read < EVENTS:
        read += reader.step(consumer)
    used, passed = time.process_time() - began, time.perf_counter() - clock
    consumer.close()
    return (read - warm) / used, (read - warm) / passed


def inserted(here: RealPlatform, sent: Sequence[Message]) -> float:
    """Rows per second by the clock of the idiomatic insert, in transactions of the same size, from events already parsed."""
    records = [Record("t", 0, offset, here.clock.now_ms(), m.key, m.value) for offset, m in enumerate(sent)]
    rows = [as_row(row) for row in parse_batch(records, {"t": "events"}).interactions]
    statement = insert(interactions).on_conflict_do_nothing()

    began = time.perf_counter()
    for first in range(0, len(rows), BATCH):
        with here.database.begin() as connection:
            connection.execute(statement, rows[first : first + BATCH])
    return len(rows) / (time.perf_counter() - began)


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


def table(rows: Sequence[Row]) -> str:
    lines = ["| figure | measured | must | aim | |", "|---|---|---|---|---|"]
    for row in rows:
        values = " | ".join(
            f"{value:,.4g}" if value < 1_000 else f"{value:,.0f}"
            for value in (row.measured, row.must, row.aim)
        )
        lines.append(f"| {row.name}{f', {row.unit}' if row.unit else ''} | {values} | {row.verdict} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
