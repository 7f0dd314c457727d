"""The reader's loop: poll → parse → one SQL transaction → serving store → offset commit.

Whatever fails on the way is repeated, or the process ends; an offset is committed only after everything
before it is stored, and everything is idempotent by offset, so a repetition at any point changes nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from core.clock import Clock
from core.errors import UnderstudyError
from ingest.following import follow
from ingest.forgotten import drop_forgotten
from ingest.lag import Lag, measure_lag
from ingest.limits import DeadLetterLimit
from ingest.metrics import ReaderMetrics
from ingest.parsing import Batch, parse_batch
from ingest.persistence import store_batch
from ingest.session_documents import EMPTY_SHELF, Shelf
from ingest.settings import IngestSettings
from ingest.shown import follow_shown
from storage.database import Database
from storage.event_log import CommitRefusedError, Consumer, EventLog, Record
from storage.exposures import LoggedExposure
from storage.interactions import LoggedInteraction
from storage.serving_store import ServingStore

_log = logging.getLogger(__name__)
_LAG_EVERY_MS = 1_000
_NAP_S = 0.1  # how soon a pause notices that the reader is asked to stop

T = TypeVar("T")


@dataclass(slots=True)
class ReaderState:
    """What the health pages read while the loop writes: single values, each replaced whole."""

    started: bool = False
    problem: str | None = None
    progress_ms: int = 0
    turn_ms: int = 0  # when the loop last began something: a poll, an attempt, a pause
    lag: Lag | None = None


class _StoppedError(Exception):
    """Asked to stop while waiting to repeat something: the batch is read again after the next start."""


class Reader:
    """One member of the consumer group, in one thread."""

    def __init__(
        self,
        log: EventLog,
        database: Database,
        serving_store: ServingStore,
        clock: Clock,
        settings: IngestSettings,
        metrics: ReaderMetrics,
        stop: threading.Event,
        shelf: Shelf = EMPTY_SHELF,
    ) -> None:
        self.state = ReaderState(progress_ms=clock.now_ms(), turn_ms=clock.now_ms())
        self._log = log
        self._database = database
        self._serving_store = serving_store
        self._clock = clock
        self._settings = settings
        self._kinds = settings.kinds
        self.metrics = metrics
        metrics.expect(self._kinds)
        self._stop = stop
        self._shelf = shelf
        self._limit = DeadLetterLimit(settings.dead_letter_limit, settings.dead_letter_window)
        self._lag_due_ms = 0

    def run(self) -> None:
        """Read until `stop` is set; the batch in hand is finished first.

        Raises:
            DeadLetterLimitError: too many dead letters.
            UnderstudyError: an error that a repetition cannot mend. Nothing was committed past it.
        """
        try:
            consumer = self._insist("join", self.join)
        except _StoppedError:
            return
        self.state.started = True
        try:
            while not self._stop.is_set():
                self.step(consumer)
        except _StoppedError:
            _log.info("stopped while waiting; the batch in hand is read again after the next start")
        finally:
            self._leave(consumer)

    def step(self, consumer: Consumer) -> int:
        """One poll and all that follows from it; the number of records read."""
        records = self._insist("poll", lambda: self._poll(consumer))
        if records:
            self.take(consumer, records)
        self._look_at_lag(idle=not records)
        return len(records)

    def take(self, consumer: Consumer, records: list[Record]) -> None:
        """Bring polled records all the way: SQL, documents, commit."""
        started = time.perf_counter()
        batch = parse_batch(records, self._kinds)
        self._limit.admit(batch.records, batch.dead_letters)
        stored = self._insist("store", lambda: store_batch(self._database, batch))
        self.metrics.stored(stored)
        for topic, count in (+stored.skipped).items():
            _log.error("%d offsets of topic %s were gone before they were read", count, topic)
        self._insist("documents", lambda: self.follow(stored.rows, stored.exposures))
        self._insist("documents", lambda: drop_forgotten(self._database, self._serving_store, stored))
        self._insist("commit", lambda: self._commit(consumer, batch))
        self.metrics.batch_seconds.observe(time.perf_counter() - started)

    def follow(self, rows: Sequence[LoggedInteraction], shown: Sequence[LoggedExposure] = ()) -> None:
        """Bring the documents up to what SQL holds. Raises DependencyError."""
        now_ms = self._clock.now_ms()
        follow(self._serving_store, rows, now_ms, self._shelf)
        follow_shown(self._serving_store, shown, now_ms)

    def join(self) -> Consumer:
        """Become a member of the group. Raises DependencyError."""
        return self._log.consumer(self._settings.group, sorted(self._kinds))

    def _poll(self, consumer: Consumer) -> list[Record]:
        return consumer.poll(self._settings.batch_records, self._settings.poll_ms / 1000)

    def _commit(self, consumer: Consumer, batch: Batch) -> None:
        try:
            consumer.commit(batch.following)
        except CommitRefusedError as error:
            # Another member reads these records again, and finds them stored.
            self.metrics.commits_refused.inc()
            _log.warning("commit refused: %s", error)
            return
        self._progressed()

    def _progressed(self) -> None:
        self.state.progress_ms = self._clock.now_ms()
        self.metrics.last_commit.set(self.state.progress_ms / 1000)

    def _look_at_lag(self, *, idle: bool) -> None:
        now_ms = self._clock.now_ms()
        if now_ms < self._lag_due_ms:
            return
        before = self.state.lag
        lag = self._insist("lag", lambda: measure_lag(self._database, self._log, self._kinds))
        self.state.lag = lag
        self._lag_due_ms = now_ms + _LAG_EVERY_MS
        for topic, records in lag.records.items():
            self.metrics.lag.labels(topic).set(records)
        # A reader that stands by makes progress when the member that works does: both see it in the account.
        moved = before is not None and lag.accounted != before.accounted
        if idle and (lag.total == 0 or moved):
            self._progressed()

    def _insist(self, step: str, attempt: Callable[[], T]) -> T:
        """Repeat `attempt` with growing pauses while its error is retriable."""
        pause_ms = self._settings.retry_first_ms
        while True:
            self.state.turn_ms = self._clock.now_ms()
            try:
                result = attempt()
            except UnderstudyError as error:
                if not error.retriable:
                    raise
                self.state.problem = f"{step}: {error}"
                self.metrics.retry(step)
                _log.warning("%s failed, again in %d ms: %s", step, pause_ms, error)
            else:
                self.state.problem = None
                return result
            self._pause(pause_ms)
            pause_ms = min(2 * pause_ms, self._settings.retry_most_ms)

    def _pause(self, pause_ms: int) -> None:
        until_ms = self._clock.now_ms() + pause_ms
        while (left_ms := until_ms - self._clock.now_ms()) > 0:
            if self._stop.is_set():
                raise _StoppedError
            self._clock.sleep(min(_NAP_S, left_ms / 1000))

    def _leave(self, consumer: Consumer) -> None:
        try:
            consumer.close()
        except UnderstudyError as error:
            _log.warning("could not leave the group, it will notice by itself: %s", error)
