"""Exposures on their way into the event log: buffered after the answer, appended in batches by a thread."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence

from core.errors import DependencyError
from core.events import TOPIC_EXPOSURES
from core.exposures import Exposure, encode_exposures
from load_balancer.metrics import BalancerMetrics
from storage.event_log import EventLog, Message

logger = logging.getLogger(__name__)

BATCH = 500
# A batch is written at least this often: the age an exposure can have before the log knows it.
EVERY_S = 0.2
# While the log is away.
RETRY_S = 1.0
# Brokers take messages of 1,000,000 bytes.
MAX_MESSAGE = 900_000


class ExposureWriter:
    """`add` never blocks. At most `capacity` exposures wait; what comes on top is lost, and counted."""

    def __init__(self, log: EventLog, metrics: BalancerMetrics, capacity: int) -> None:
        self._log = log
        self._metrics = metrics
        self._capacity = capacity
        self._waiting: deque[Exposure] = deque()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="exposures", daemon=True)
        metrics.exposures_waiting.set_function(lambda: len(self._waiting))

    def start(self) -> None:
        self._thread.start()

    def add(self, exposure: Exposure) -> None:
        """Called by the event loop after the answer has been sent."""
        if len(self._waiting) >= self._capacity:
            self._metrics.exposures_lost.inc()
            return
        self._waiting.append(exposure)
        if len(self._waiting) == BATCH:
            self._wake.set()

    def stop(self, seconds: float = 3.0) -> None:
        """Write what waits, for at most `seconds`; what is left then is lost, counted and logged."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(seconds)
        left = len(self._waiting)
        if left:
            self._metrics.exposures_lost.inc(left)
            logger.error("%d exposures are lost: the event log did not take them", left)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(EVERY_S)
            self._wake.clear()
            if not self._write_all():
                self._stopping.wait(RETRY_S)
        self._write_all()

    def _write_all(self) -> bool:
        """Append batch after batch; False as soon as the log does not take one, which stays first in line."""
        while self._waiting:
            batch = [self._waiting[index] for index in range(min(BATCH, len(self._waiting)))]
            try:
                self._log.append(TOPIC_EXPOSURES, messages(batch))
            except DependencyError as error:
                logger.warning("%d exposures wait for the event log: %s", len(self._waiting), error)
                return False
            except Exception:  # this thread must outlive whatever happened: without it all is lost
                logger.exception("%d exposures wait for the event log", len(self._waiting))
                return False
            for _ in batch:
                self._waiting.popleft()
            self._metrics.exposures_appended.inc(len(batch))
        return True


def messages(batch: Sequence[Exposure]) -> list[Message]:
    """As few messages as the broker's size limit allows."""
    value = encode_exposures(batch)
    if len(value) <= MAX_MESSAGE or len(batch) == 1:
        return [Message(None, value)]
    half = len(batch) // 2
    return messages(batch[:half]) + messages(batch[half:])
