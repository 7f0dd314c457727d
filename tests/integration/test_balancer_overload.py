"""A loop that stays late turns away as much as it takes to keep up, and no more once it does."""

import asyncio
import random
import time

import pytest

from load_balancer.overload import EVERY_S, MOST, STANDING_S, Lateness, Shedder

LIMIT_S = 0.2


def after(late_s: float, seconds: float) -> Lateness:
    """In time once, then late for some seconds."""
    lateness = Lateness(LIMIT_S)
    lateness.note(0.0, 0.0)
    for look in range(1, round(seconds / 0.1) + 1):
        lateness.note(late_s, look * 0.1)
    return lateness


def test_late_for_a_moment_turns_nobody_away() -> None:
    assert after(2.0, STANDING_S - 0.1).share == 0


def test_one_long_pause_turns_nobody_away() -> None:
    lateness = Lateness(LIMIT_S)
    lateness.note(0.0, 0.0)
    lateness.note(30.0, 30.02)
    assert lateness.share == 0
    lateness.note(0.0, 30.04)
    lateness.note(30.0, 60.0)
    assert lateness.share == 0


@pytest.mark.parametrize(("late_s", "share"), [(0.2, 0), (0.4, 0.5), (0.8, 0.75), (60.0, MOST)])
def test_what_is_late_for_long_turns_away_what_is_too_much(late_s: float, share: float) -> None:
    assert after(late_s, STANDING_S + 0.2).share == pytest.approx(share)


def test_in_time_again_everybody_is_served() -> None:
    lateness = after(0.4, 2)
    lateness.note(0.01, 2.1)
    assert lateness.share == 0


def test_a_loop_that_is_never_in_time_sheds_and_then_recovers() -> None:
    turned_away: list[int] = []
    shedder = Shedder(0.001, random.Random(1), lambda: turned_away.append(1))

    async def run() -> tuple[bool, bool]:
        shedder.start()
        await asyncio.sleep(2 * EVERY_S)
        late = time.monotonic() + STANDING_S + 0.3
        while time.monotonic() < late:
            time.sleep(EVERY_S + 0.01)  # what blocks the loop, and is measured
            await asyncio.sleep(0)
        busy = any(shedder.sheds() for _ in range(200))
        for _ in range(500):
            await asyncio.sleep(EVERY_S)
            if not any(shedder.sheds() for _ in range(100)):
                break
        shedder.stop()
        return busy, not any(shedder.sheds() for _ in range(100))

    assert asyncio.run(run()) == (True, True)
    assert turned_away
