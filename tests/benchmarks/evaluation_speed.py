"""`make bench-evaluation`: how long a look over a million exposures takes, from scratch and going on.

While it fills a database, a tenth of a day at a time, the looks that are due are taken one by one: those over the last
tenth cost what those over the first did. One look from scratch: a single decision over exposures that are all there and
have all matured, as where a release is looked at once a day. A catch-up: the looks that a day brings, five minutes apart,
missed and taken in their order. Then single looks that go on from there. Prints wall and CPU seconds of this process (a
database server has its own) and its largest memory so far, between two runs of a fixed loop that tell how busy the
machine is.

BENCH_URL names another database than a new SQLite file, filled unless it was before; BENCH_EXPOSURES another
number.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from core.clock import DAY, HOUR, MINUTE
from core.events import Interaction
from core.exposures import Exposure
from deploy.evaluation import ReleasePlan
from deploy.evaluator import Evaluator
from deploy.rows import DatabaseRows
from storage.database import Database, open_database
from storage.exposures import LoggedExposure, exposures_of_release, store_exposures
from storage.interactions import LoggedInteraction, store_interactions
from storage.migrate import migrate

VIEWERS = 100_000
START_MS = 1_700_000_000_000
SPAN_MS = 24 * HOUR
PLAN = ReleasePlan()
# Its first look comes when a whole day has matured.
ONE_LOOK = ReleasePlan(look_every_ms=SPAN_MS + PLAN.horizon_ms, max_duration_ms=9 * DAY)


def grow(database: Database, exposures: int) -> None:
    """A day of a full ramp, and its looks as they become due."""
    evaluator, look = Evaluator(DatabaseRows(database)), 0

    def take_looks(until_ms: int) -> None:
        nonlocal look
        while (at_ms := START_MS + (look + 1) * PLAN.look_every_ms) <= until_ms:
            evaluator.look("bench", PLAN, START_MS, at_ms, at_ms)
            look += 1

    for tenth in range(10):
        parts = [exposures * part // 10 for part in (tenth, tenth + 1)]
        fill(database, exposures, *parts)
        until_ms = START_MS + SPAN_MS * (tenth + 1) // 10
        measured(f"looks over exposures {parts[0]:,} to {parts[1]:,}", partial(take_looks, until_ms))


def fill(database: Database, exposures: int, begin: int, end: int) -> None:
    """Some of a day's exposures; a tenth of the requests is watched, half of these events name their request."""
    random = np.random.default_rng(1)
    times = START_MS + np.sort(random.integers(0, SPAN_MS, exposures))
    users, buckets = random.integers(0, VIEWERS, exposures), random.random(VIEWERS)
    for first in range(begin, end, 20_000):
        shown, watched = [], []
        for number in range(first, min(first + 20_000, end)):
            user, served_ms = int(users[number]), int(times[number])
            stage = 1 + (served_ms - START_MS) * len(PLAN.ramp) // SPAN_MS
            arm = "canary" if buckets[user] < PLAN.shares[stage - 1] else "main"
            items = tuple(f"m{(user * 7 + number * 13 + k * 31) % 27_000}" for k in range(20))
            shown.append(_exposure(number, user, served_ms, stage, arm, items))
            if number % 10 == 0:
                watched.append(_watched(number, user, served_ms, items[3]))
        with database.begin() as connection:
            store_exposures(connection, shown)
            store_interactions(connection, watched)


def _exposure(
    number: int, user: int, served_ms: int, stage: int, arm: str, items: tuple[str, ...]
) -> LoggedExposure:
    exposure = Exposure(
        request_id=f"{number:032x}",
        user_id=f"user{user}",
        served_ms=served_ms,
        arm_assigned=arm,
        arm_served=arm,
        version="v2",
        bundle_digest="sha256:" + "0" * 64,
        release_id="bench",
        stage=stage,
        epoch=stage,
        items=items,
        latency_ms=float(number % 100),
    )
    return LoggedExposure("exposures", 0, number, 0, exposure)


def _watched(number: int, user: int, served_ms: int, video_id: str) -> LoggedInteraction:
    event = Interaction(
        event_id=None,
        user_id=f"user{user}",
        video_id=video_id,
        event_type="complete",
        details={},
        occurred_ms=served_ms,
        received_ms=served_ms + 10 * MINUTE,
        request_id=f"{number:032x}" if number % 20 else None,
    )
    return LoggedInteraction("interactions", 0, number, event)


def measured(what: str, work: Callable[[], object]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:48} {wall:7.2f} s wall {cpu:7.2f} s CPU {megabytes:7.0f} MB at most")


def reference() -> None:
    """Two million additions: what the other figures are to be read beside."""
    sum(number for number in range(2_000_000))


def look(database: Database, plan: ReleasePlan) -> None:
    last_ms = START_MS + plan.look_every_ms
    Evaluator(DatabaseRows(database)).look("bench", plan, START_MS, last_ms, last_ms)


def catch_up(database: Database) -> None:
    """The looks of a day but the last two, and these by themselves."""
    evaluator, last_ms = Evaluator(DatabaseRows(database)), START_MS + SPAN_MS

    def to(at_ms: int) -> Callable[[], object]:
        return lambda: evaluator.look("bench", PLAN, START_MS, at_ms, at_ms)

    missed = SPAN_MS // PLAN.look_every_ms - 2
    measured(f"a catch-up of {missed} looks", to(last_ms - 2 * PLAN.look_every_ms))
    measured("the look after it", to(last_ms - PLAN.look_every_ms))
    measured("and the next", to(last_ms))


def is_filled(database: Database) -> bool:
    with database.read() as connection:
        return bool(exposures_of_release(connection, "bench", limit=1))


def main() -> None:
    exposures = int(os.environ.get("BENCH_EXPOSURES", "1000000"))
    with tempfile.TemporaryDirectory() as folder:
        url = os.environ.get("BENCH_URL") or f"sqlite:///{Path(folder)}/bench.db"
        migrate(url)
        database = open_database(url)
        if not is_filled(database):
            measured(f"{exposures:,} exposures ({database.dialect})", lambda: grow(database, exposures))
        measured("the fixed loop", reference)
        measured("one look from scratch", lambda: look(database, ONE_LOOK))
        catch_up(database)
        measured("the fixed loop again", reference)
        database.close()


if __name__ == "__main__":
    main()
