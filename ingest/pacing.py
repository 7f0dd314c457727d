"""A steady speed: so many events a second, in batches of about a tenth of one."""

from __future__ import annotations

from typing import Final

from core.clock import Clock

BATCHES_A_SECOND: Final = 10


class Pace:
    """Counts from the moment it is made. One that was late catches up, so that the mean speed is kept."""

    def __init__(self, clock: Clock, per_second: float) -> None:
        self._clock = clock
        self._per_second = per_second
        self._began_ms = clock.now_ms()

    def batch(self, most: int) -> int:
        """How many events to send at once."""
        return max(1, min(most, round(self._per_second / BATCHES_A_SECOND)))

    def wait_for(self, number: int) -> None:
        """Return when event `number` (from 0) is due."""
        due_ms = self._began_ms + number * 1_000 / self._per_second
        if (left_ms := due_ms - self._clock.now_ms()) > 0:
            self._clock.sleep(left_ms / 1_000)
