"""A deadline that moves: only the last one counts, and the loop is asked for few timers."""

import asyncio
from collections.abc import Callable

from load_balancer.watch import Watch


class Loop(asyncio.SelectorEventLoop):
    """Its time is set by hand."""

    now = 0.0
    timers = 0

    def time(self) -> float:
        return self.now

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, **_: object
    ) -> asyncio.TimerHandle:  # type: ignore[override]
        self.timers += 1
        handle = asyncio.TimerHandle(when, callback, args, self)
        self.due: asyncio.TimerHandle = handle
        return handle

    def at(self, now: float) -> None:
        """What the loop does at this time."""
        self.now = now
        if self.due.when() <= now and not self.due.cancelled():
            self.due._run()


def watched() -> tuple[Loop, Watch, list[float]]:
    loop, late = Loop(), list[float]()
    return loop, Watch(loop, lambda: late.append(loop.now)), late


def test_what_is_not_done_in_time_is_late_once() -> None:
    loop, watch, late = watched()
    watch.set(1.0)
    loop.at(1.0)
    loop.at(2.0)
    assert late == [1.0]
    loop.close()


def test_what_is_done_is_never_late() -> None:
    loop, watch, late = watched()
    watch.set(1.0)
    watch.clear()
    loop.at(1.0)
    assert late == []
    loop.close()


def test_only_the_last_deadline_counts_and_moving_it_asks_for_no_timer() -> None:
    loop, watch, late = watched()
    for request in range(100):
        watch.set(1.0 + request / 100)
    assert loop.timers == 1
    loop.at(1.0)
    assert (late, loop.timers) == ([], 2)
    loop.at(1.99)
    assert late == [1.99]
    loop.close()


def test_an_earlier_deadline_is_kept() -> None:
    loop, watch, late = watched()
    watch.set(5.0)
    watch.set(1.0)
    loop.at(1.0)
    assert late == [1.0]
    loop.close()


def test_stopped_nothing_is_left() -> None:
    loop, watch, late = watched()
    watch.set(1.0)
    watch.stop()
    assert loop.due.cancelled()
    assert late == []
    loop.close()
