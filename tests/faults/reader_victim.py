"""Readers that die: `python -m tests.faults.reader_victim FAULT KILLS SEED HOME [SERVERS URL TOPIC SESSION_MS]`.

Each life is a process of its own, forked from this one so that it costs no start-up. It reads like any reader,
the embedded log of HOME into SQLite or a topic of Kafka into PostgreSQL, until SIGKILL meets it at the chosen
point. Before each life more is appended; the last life is spared. Prints, as JSON, how often it was killed and
what was sent.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.clock import SystemClock
from core.events import TOPIC_INTERACTIONS
from ingest.lag import measure_lag
from ingest.settings import IngestSettings
from storage.event_log import Message
from storage.serving_store import TRENDING_REALTIME, USER_REALTIME_PROFILE
from tests.faults.real_platform import Place, opened_at
from tests.ingest_platform import FaultyDatabase, FaultyEventLog, FaultyServingStore, Platform, opened
from tests.ingest_support import messages

BATCH = 100
SETTINGS = IngestSettings(batch_records=BATCH, poll_ms=1)
FAULTS = (
    "before-the-offset-commit",
    "in-the-transaction",
    "before-the-documents",
    "between-the-documents",
    "at-any-instant",
)


@contextmanager
def opened_somewhere(where: Path | Place) -> Iterator[tuple[Platform, IngestSettings]]:
    """The platform and the reader's settings there."""
    if isinstance(where, Place):
        with opened_at(where) as real:
            yield real, where.settings
    else:
        with opened(where, SystemClock()) as here:
            yield here, SETTINGS


def live(where: Path | Place, fault: str, at: int) -> None:
    """Read until nothing is left, or die when `fault` is met for the `at`-th time."""
    with opened_somewhere(where) as (here, settings):
        reader = here.reader(settings, **_parts(here, fault, _killer(at)))
        consumer = reader.join()
        while reader.step(consumer) or measure_lag(here.database, here.log, settings.kinds).total:
            pass
        consumer.close()


def _parts(here: Platform, fault: str, die: Callable[[], None]) -> dict[str, object]:
    def die_at(collection: str) -> Callable[[str], None]:
        return lambda written: die() if written == collection else None

    match fault:
        case "before-the-offset-commit":
            return {"log": FaultyEventLog(here.log, on_commit=die)}
        case "in-the-transaction":
            return {"database": FaultyDatabase(here.database, after=die)}
        case "before-the-documents":
            return {"serving_store": FaultyServingStore(here.serving_store, die_at(USER_REALTIME_PROFILE))}
        case "between-the-documents":
            return {"serving_store": FaultyServingStore(here.serving_store, die_at(TRENDING_REALTIME))}
    return {}


def _killer(at: int) -> Callable[[], None]:
    left = [at]

    def die() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return die


def append(where: Path | Place, first: int) -> int:
    """Events from number `first` on, two of them sent before, and a bad one; how many new events."""
    with opened_somewhere(where) as (here, settings):
        now_ms = here.clock.now_ms() - 60_000
        again = messages(range(max(0, first - 2), first), now_ms)
        (topic,) = settings.kinds if isinstance(where, Place) else (TOPIC_INTERACTIONS,)
        here.log.append(topic, [*messages(range(first, first + BATCH), now_ms), *again, Message("k", b"{")])
    return BATCH


def one_life(where: Path | Place, fault: str, rng: random.Random) -> bool:
    """Whether it was killed."""
    at = rng.randrange(1, 3 if isinstance(where, Place) else 4)
    patience_s = rng.random() * 0.3 if fault == "at-any-instant" else 60.0
    alive, held_by_child = os.pipe()  # readable as soon as the child has ended, however it ended
    child = os.fork()
    if child == 0:
        os._exit(_live_and_report(where, fault, at))
    os.close(held_by_child)
    ended, _, _ = select.select([alive], [], [], patience_s)
    if not ended:
        os.kill(child, signal.SIGKILL)
    os.close(alive)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise SystemExit(f"a reader ended with {status}")
    return status != 0


def _live_and_report(where: Path | Place, fault: str, at: int) -> int:
    try:
        live(where, fault, at)
    except BaseException:  # noqa: BLE001  this is a process's last line: everything is told, nothing goes on
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    fault, kills, seed, home, *servers = (
        sys.argv[1],
        int(sys.argv[2]),
        int(sys.argv[3]),
        Path(sys.argv[4]),
        *sys.argv[5:],
    )
    where = Place(home, *servers[:3], session_ms=int(servers[3])) if servers else home
    rng = random.Random(seed)
    killed = lives = sent = 0
    while killed < kills:
        sent += append(where, sent)
        lives += 1
        killed += one_life(where, fault, rng)
    one_life(where, "spared", rng)
    print(json.dumps({"fault": fault, "killed": killed, "lives": lives, "sent": sent}))


if __name__ == "__main__":
    main()
