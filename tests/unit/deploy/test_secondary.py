"""Secondary metrics from rows."""

from __future__ import annotations

import pytest

from core.clock import MINUTE
from deploy.secondary import secondary
from tests.unit.deploy.test_outcomes import PLAN, START, Did, Shown, exposures, interactions

UNTIL = START + 60 * MINUTE


def like(at_s: float, user_id: str, *, dislike: bool = False, event_id: str | None = None) -> Did:
    kind = "dislike" if dislike else "like"
    return Did(at_s, user_id=user_id, event_type=kind, watched=None, event_id=event_id)


def test_likes_and_minutes_go_to_the_request_that_showed_the_video() -> None:
    shown = [
        Shown("r1", 10, user_id="ann"),
        Shown("r2", 20, user_id="bob"),
        Shown("r3", 30, user_id="eve", arm="canary"),
        Shown("r4", 40, user_id="kim", arm="canary"),
        Shown("r5", 50, user_id="kim", arm="canary", forced=True),
        Shown("r6", 3590, user_id="eve", arm="canary"),  # not final yet
    ]
    did = [
        like(11, "ann"),
        like(22, "bob", dislike=True),
        like(31, "eve", event_id="e1"),
        like(32, "eve", event_id="e1"),
        like(41, "kim"),
        like(60, "kim"),  # of the forced request
        Did(100, user_id="ann", watched=10),
        Did(160, user_id="ann", watched=20),
        Did(100, user_id="eve", watched=10),
    ]
    seconds = [*[None] * 6, 60.0, 120.0, 240.0]
    found = secondary(PLAN, exposures(shown), interactions(did), UNTIL, 4, seconds)
    assert found.likes is not None
    assert (found.likes.main, found.likes.canary) == pytest.approx((0.0, 1.0))
    assert found.minutes is not None
    assert (found.minutes.main, found.minutes.canary) == pytest.approx((1.0, 2.0), rel=0.05)  # winsorised
    assert found.coverage is not None
    assert found.coverage.main == found.coverage.canary == pytest.approx(0.5)


def test_without_data_there_is_nothing_to_compare() -> None:
    found = secondary(PLAN, exposures([Shown("r1", 10)]), interactions([]), UNTIL, 4)
    assert (found.likes, found.minutes, found.coverage) == (None, None, None)
