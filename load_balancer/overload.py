"""Load shedding: how late the event loop is, and what share of the requests is turned away until it keeps up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

EVERY_S: Final = 0.02
# Late at every look for so long: not one long pause of the process, but more work than there is time.
STANDING_S: Final = 0.5
MOST: Final = 0.95  # somebody has to be served, or nobody would know that it is over


class Lateness:
    """How long what is ready waits for its turn; a request waits as long at every step of its way.

    A value with a clock from outside. `limit_s` is the lateness that is borne; beyond it, once it has lasted
    for half a second, `share` of the requests is too many.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._late_since: float | None = None
        self.share = 0.0

    def note(self, late_s: float, now: float) -> None:
        """Count one look at the clock that came `late_s` after it was due."""
        if late_s <= self._limit_s:
            self._late_since, self.share = None, 0.0
        elif self._late_since is None:  # a pause, however long, is over when it is noticed
            self._late_since = now
        elif now - self._late_since >= STANDING_S:
            # With this share of the work gone, what is left takes as long as is borne.
            self.share = min(MOST, 1 - self._limit_s / late_s)


class Shedder:
    """Looks at the clock every 20 ms. Belongs to one event loop.

    Args:
        limit_s: the lateness that is borne.
        draw: gives numbers from 0 to 1.
        count: is told of every request that is turned away.
    """

    def __init__(self, limit_s: float, draw: random.Random, count: Callable[[], None]) -> None:
        self._lateness = Lateness(limit_s)
        self._draw = draw
        self._count = count
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look, from within the running loop."""
        loop = asyncio.get_running_loop()
        self._look_later(loop, loop.time() + EVERY_S)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def sheds(self) -> bool:
        """Whether this request is one too many."""
        share = self._lateness.share
        if share == 0 or self._draw.random() >= share:
            return False
        self._count()
        return True

    def _look_later(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._timer = loop.call_at(due, self._look, loop, due)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._lateness.note(now - due, now)
        self._look_later(loop, now + EVERY_S)
