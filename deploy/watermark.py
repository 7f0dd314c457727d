"""Up to when everything that was sent is stored: no look is taken before its data are complete."""

from __future__ import annotations

import time
from dataclasses import dataclass

from core.clock import Clock
from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS
from storage.database import Database
from storage.event_log import EventLog, TopicPartition
from storage.progress import accounted_offsets

TOPICS = (TOPIC_EXPOSURES, TOPIC_INTERACTIONS)


@dataclass(frozen=True, slots=True)
class _Sample:
    at_ms: int
    ends: dict[TopicPartition, int]


class Watermark:
    """Compares the reader's account with the ends of the event log.

    The ends are read once, at or after the time asked for; as soon as the reader has passed them, everything
    that had been appended by then is stored. Traffic that goes on meanwhile cannot push the goal away.
    """

    def __init__(self, database: Database, log: EventLog, clock: Clock, wait_s: float = 2.0) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._wait_s = wait_s
        self._sample: _Sample | None = None
        self._complete_ms = 0

    def reached(self, at_ms: int) -> bool:
        """Whether everything appended by `at_ms` is stored; waits a moment for a reader that is about to."""
        deadline = time.monotonic() + self._wait_s
        while not self._reached(at_ms):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _reached(self, at_ms: int) -> bool:
        if self._complete_ms >= at_ms:
            return True
        if self._sample is None or self._sample.at_ms < at_ms:
            now_ms = self._clock.now_ms()
            ends = {where: end for topic in TOPICS for where, end in self._log.ends(topic).items()}
            self._sample = _Sample(now_ms, ends)
        if self._passed(self._sample):
            self._complete_ms = self._sample.at_ms
        return self._complete_ms >= at_ms

    def _passed(self, sample: _Sample) -> bool:
        with self._database.read() as connection:
            accounts = {topic: accounted_offsets(connection, topic) for topic in TOPICS}
        for (topic, partition), end in sample.ends.items():
            account = accounts[topic].get(partition)
            if end > 0 and (account is None or account.next_offset < end):
                return False
        return True
