"""Readers that die: `python -m tests.faults.reader_victim HOME FAULT KILLS SEED`.

Each life is a process of its own, forked from this one so that it costs no start-up. It reads the embedded
log of HOME like any reader, until SIGKILL meets it at the chosen point. Before each life more is appended;
the last life is spared. Prints, as JSON, how often it was killed and what was sent.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from core.clock import SystemClock
from core.events import TOPIC_INTERACTIONS
from ingest.settings import IngestSettings
from storage.event_log import Message
from storage.event_log_sqlite import SqliteEventLog
from storage.serving_store import TRENDING_REALTIME, USER_REALTIME_PROFILE
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


def live(home: Path, fault: str, at: int) -> None:
    """Read until nothing is left, or die when `fault` is met for the `at`-th time."""
    with opened(home, SystemClock()) as here:
        reader = here.reader(SETTINGS, **_parts(here, fault, _killer(at)))
        consumer = reader.join()
        while reader.step(consumer):
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


def append(home: Path, first: int) -> int:
    """Events from number `first` on, two of them sent before, and a bad one; how many new events."""
    log = SqliteEventLog(home / "events.db", SystemClock())
    now_ms = SystemClock().now_ms() - 60_000
    again = messages(range(max(0, first - 2), first), now_ms)
    log.append(
        TOPIC_INTERACTIONS, [*messages(range(first, first + BATCH), now_ms), *again, Message("k", b"{")]
    )
    log.close()
    return BATCH


def one_life(home: Path, fault: str, rng: random.Random) -> bool:
    """Whether it was killed."""
    at = rng.randrange(1, 4)
    patience_s = rng.random() * 0.3 if fault == "at-any-instant" else 60.0
    alive, held_by_child = os.pipe()  # readable as soon as the child has ended, however it ended
    child = os.fork()
    if child == 0:
        os._exit(_live_and_report(home, fault, at))
    os.close(held_by_child)
    ended, _, _ = select.select([alive], [], [], patience_s)
    if not ended:
        os.kill(child, signal.SIGKILL)
    os.close(alive)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise SystemExit(f"a reader ended with {status}")
    return status != 0


def _live_and_report(home: Path, fault: str, at: int) -> int:
    try:
        live(home, fault, at)
    except BaseException:  # noqa: BLE001  this is a process's last line: everything is told, nothing goes on
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    home, fault, kills, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rng = random.Random(seed)
    killed = lives = sent = 0
    while killed < kills:
        sent += append(home, sent)
        lives += 1
        killed += one_life(home, fault, rng)
    one_life(home, "spared", rng)
    print(json.dumps({"fault": fault, "killed": killed, "lives": lives, "sent": sent}))


if __name__ == "__main__":
    main()
