"""The power calculator: against formulas by hand, and in what it must never get wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.clock import DAY, HOUR
from core.errors import InvalidInputError
from deploy.evaluation import RampStage, ReleasePlan
from deploy.evaluation.advice import advice
from deploy.evaluation.power import POWER, Traffic, forecast, walk

PLAN = ReleasePlan()
BUSY = Traffic.of(100_000, 10, 0.1, 0.1)
HALF_A_DAY = replace(PLAN, min_duration_ms=12 * HOUR, max_duration_ms=12 * HOUR)


def test_information_of_one_stage_is_the_textbook_formula() -> None:
    plan = replace(PLAN, ramp=(RampStage(0.5),), ingest_delay_ms=0, window_ms=HOUR, look_every_ms=HOUR)
    course = walk(plan, Traffic.of(24_000, 1, 0.2, 0.0))
    requests = 24_000 * (72 - 1) / 24
    assert course.information[-1] == pytest.approx(0.2 / 0.8 * requests * 0.25)
    assert course.canary_requests[-1] == pytest.approx(requests / 2)


def test_correlated_requests_inform_less_the_longer_the_same_viewers_return() -> None:
    alone, together = (walk(PLAN, Traffic.of(100_000, 10, 0.1, icc)).information for icc in (0.0, 0.1))
    assert alone[-1] / together[-1] == pytest.approx(1 + 9 * 3 * 0.1)


def test_the_ramp_waits_for_its_requests_and_its_window() -> None:
    course = walk(PLAN, BUSY)
    steps = [look for look in range(1, course.share.size) if course.share[look] > course.share[look - 1]]
    assert [course.share[look] for look in steps] == [0.05, 0.10, 0.25, 0.50]
    assert all(later - earlier >= 24 for earlier, later in zip([0, *steps], steps, strict=False))
    for look, stage in zip(steps, PLAN.ramp, strict=False):
        assert course.canary_requests[look - 1] >= stage.canary_requests


def test_little_traffic_is_told_that_it_cannot_decide() -> None:
    found = forecast(HALF_A_DAY, Traffic.of(2_000, 10, 0.1, 0.1))
    assert not found.can_tell
    assert advice(found)[0] == "12 h at 2,000 viewers a day cannot tell a 5% loss from none."


def test_much_traffic_decides_everything_as_it_should() -> None:
    found = forecast(PLAN, BUSY)
    by_effect = {outcome.effect: outcome for outcome in found.outcomes}
    assert found.can_tell
    assert found.viewers_needed == BUSY.viewers_a_day
    assert by_effect[0.0].promoted >= POWER
    assert by_effect[0.0].rolled_back <= 0.01
    assert by_effect[-0.05].promoted <= 0.005
    assert by_effect[-0.20].rolled_back == 1.0
    assert by_effect[-0.20].median_ms < by_effect[-0.05].median_ms < by_effect[0.0].median_ms + DAY


def test_the_number_of_viewers_asked_for_is_about_enough() -> None:
    needed = forecast(PLAN, Traffic.of(20_000, 10, 0.1, 0.1)).viewers_needed
    assert needed is not None
    again = {o.effect: o for o in forecast(PLAN, Traffic.of(needed, 10, 0.1, 0.1)).outcomes}
    assert again[0.0].promoted >= POWER - 0.02
    less = {o.effect: o for o in forecast(PLAN, Traffic.of(needed / 2, 10, 0.1, 0.1)).outcomes}
    assert less[0.0].promoted < POWER


def test_it_says_the_same_at_every_call() -> None:
    assert forecast(HALF_A_DAY, BUSY) == forecast(HALF_A_DAY, BUSY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"viewers_a_day": 0}, "viewers a day"),
        ({"viewers_a_day": 1e300}, "viewers a day"),
        ({"base_rate": 1.0}, "base rate"),
        ({"correlation": float("nan")}, "correlation"),
    ],
)
def test_impossible_traffic_is_refused_by_name(change: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        replace(BUSY, **change)
