"""The one clock. Times are whole milliseconds since 1970-01-01 UTC, everywhere.

Integers compare, store and replay exactly on SQLite and PostgreSQL alike, which floats do not.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Protocol

import msgspec

from core.errors import InvalidInputError

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_MS = timedelta(milliseconds=1)
_Aware = Annotated[datetime, msgspec.Meta(tz=True)]


class Clock(Protocol):
    """Where the time comes from: the system in a process, a value in a test."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`; a manual clock moves instead of waiting."""
        ...


class SystemClock:
    """The wall clock of this machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class ManualClock:
    """A clock for tests: it stands still until it is moved. Safe to share between threads."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        with self._lock:
            return self._now_ms

    def move(self, by_ms: int) -> None:
        with self._lock:
            self._now_ms += by_ms

    def sleep(self, seconds: float) -> None:
        self.move(round(seconds * 1000))


def format_ms(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds, for pages, logs and JSON."""
    at = EPOCH + timedelta(milliseconds=at_ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_ms(text: str) -> int:
    """Milliseconds of an RFC 3339 time; a time without an offset is refused, never guessed.

    Raises:
        InvalidInputError: not RFC 3339, no offset, or no such day.
    """
    try:
        return (msgspec.convert(text, _Aware) - EPOCH) // ONE_MS
    except msgspec.ValidationError:
        raise InvalidInputError(
            f"time {text[:40]!r} is not RFC 3339 with an offset, as in 2026-01-31T12:00:00Z"
        ) from None
