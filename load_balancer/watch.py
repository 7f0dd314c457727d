"""A deadline that moves with every request, by a timer that does not: setting one costs more than looking again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

NEVER: Final = float("inf")


class Watch:
    """Calls `late` once the loop's time has passed what was set last. Belongs to one event loop."""

    __slots__ = ("_due", "_late", "_looks_at", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, late: Callable[[], object]) -> None:
        self._loop = loop
        self._late = late
        self._due = NEVER
        self._looks_at = NEVER
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due: float) -> None:
        """From now on, late means after `due` (the loop's time)."""
        self._due = due
        if due < self._looks_at:
            self._look_at(due)

    def clear(self) -> None:
        """Nothing is due any more."""
        self._due = NEVER

    def stop(self) -> None:
        """Nothing is due, and nothing is left with the loop."""
        self.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._looks_at = None, NEVER

    def _look_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._looks_at = self._loop.call_at(when, self._look), when

    def _look(self) -> None:
        self._timer, self._looks_at = None, NEVER
        if self._loop.time() >= self._due:
            self._due = NEVER
            self._late()
        elif self._due < NEVER:
            self._look_at(self._due)
