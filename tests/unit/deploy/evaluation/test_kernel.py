"""Whole evaluations over looks: what each process counts, and what must not change a result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import HOUR, MINUTE
from core.errors import InvalidInputError
from deploy.evaluation import (
    Look,
    LookResult,
    Matured,
    RampStage,
    ReleasePlan,
    Served,
    State,
    canonical,
    evaluate,
    step,
)
from tests.unit.deploy.evaluation.support import PLAN, Row, before, look, matured

BUSY = ReleasePlan(ramp=(RampStage(0.3, 60), RampStage(0.5)), window_ms=5 * MINUTE, min_duration_ms=HOUR)


def drawn_looks(seed: int = 3, count: int = 24, effect: float = 1.0, viewers: int = 400) -> list[Look]:
    """A small release: rows of one request each, two stages, errors in both arms."""
    random = np.random.default_rng(seed)
    bucket, rate = random.random(viewers), random.beta(2, 6, viewers)
    made = []
    for number in range(1, count + 1):
        stage = np.full(120, 1 if number <= count // 2 else 2)
        viewer = random.integers(0, viewers, 120)
        canary = bucket[viewer] < np.where(stage == 1, 0.3, 0.5)
        success = random.random(120) < rate[viewer] * np.where(canary, effect, 1)
        error = random.random(120) < 0.02
        ones = np.ones(120, np.int64)
        made.append(
            Look(
                number * 5 * MINUTE,
                Matured(viewer, stage, canary, ones, success.astype(np.int64)),
                Served(viewer, stage, canary, ones, {"error": error.astype(np.int64)}),
                before([(int(v), 5, int(5 * rate[v])) for v in set(viewer.tolist())]),
            )
        )
    return made


def trail_of(looks: Sequence[Look], plan: ReleasePlan = BUSY) -> str:
    return canonical(evaluate(plan, looks).to_json())


def test_a_replay_gives_the_same_bytes() -> None:
    assert trail_of(drawn_looks()) == trail_of(drawn_looks())


def reordered(one: Look, random: np.random.Generator) -> Look:
    a, b = random.permutation(one.matured.viewer.size), random.permutation(one.served.viewer.size)
    m, s = one.matured, one.served
    return replace(
        one,
        matured=Matured(m.viewer[a], m.stage[a], m.canary[a], m.requests[a], m.successes[a]),
        served=Served(
            s.viewer[b], s.stage[b], s.canary[b], s.requests[b], {k: v[b] for k, v in s.events.items()}
        ),
    )


def renamed(one: Look, number: np.ndarray) -> Look:
    return replace(
        one,
        matured=replace(one.matured, viewer=number[one.matured.viewer]),
        served=replace(one.served, viewer=number[one.served.viewer]),
        before=replace(one.before, viewer=number[one.before.viewer]),
    )


def merged(one: Look) -> Look:
    """The same look with one row per viewer, stage and arm."""
    m = one.matured
    key = (m.viewer * 100 + m.stage) * 2 + m.canary
    kept, place = np.unique(key, return_inverse=True)
    return replace(
        one,
        matured=Matured(
            kept // 200,
            kept // 2 % 100,
            kept % 2 == 1,
            np.bincount(place, m.requests).astype(np.int64),
            np.bincount(place, m.successes).astype(np.int64),
        ),
    )


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_order_splitting_and_names_change_nothing(seed: int) -> None:
    looks = drawn_looks(seed, effect=0.9, count=10)
    random = np.random.default_rng(seed)
    number = random.permutation(5_000)
    expected = evaluate(BUSY, looks)
    assert evaluate(BUSY, [reordered(one, random) for one in looks]) == expected
    assert evaluate(BUSY, [merged(one) for one in looks]) == expected
    assert evaluate(BUSY, [renamed(one, number) for one in looks]) == expected
    hashed = random.integers(0, 2**63, 400)
    hashed[:100] = random.permutation(2**20 + 50)[:100]  # some are small, some just not
    assert evaluate(BUSY, [renamed(one, hashed) for one in looks]) == expected


def test_stepping_is_what_evaluate_does() -> None:
    looks = drawn_looks(count=8)
    state = State.begin(BUSY, 0)
    for one, expected in zip(looks, evaluate(BUSY, looks).results, strict=True):
        state, result = step(BUSY, state, one)
        assert result == expected


def test_a_used_state_and_a_look_out_of_order_are_refused() -> None:
    state = State.begin(PLAN, 0)
    later, _ = step(PLAN, state, look(2))
    with pytest.raises(InvalidInputError, match="stepped already"):
        step(PLAN, state, look(3))
    with pytest.raises(InvalidInputError, match="in order"):
        step(PLAN, later, look(2))


def test_the_trail_ends_with_the_first_verdict() -> None:
    trail = evaluate(PLAN, [look(1), look(2, abort="wrong build"), look(3)])
    assert [result.decision for result in trail.results] == ["continue", "roll_back"]
    assert trail.verdict is not None
    assert trail.verdict.reasons[0] == "Aborted: wrong build"
    assert evaluate(PLAN, [look(1)]).verdict is None


def test_a_result_survives_json() -> None:
    result = evaluate(BUSY, drawn_looks()).results[-1]
    plain = json.loads(canonical(result.to_json()))
    assert LookResult.from_json(plain).to_json() == result.to_json()
    assert result.theta is not None
    assert result.low is not None
    assert result.high is not None
    assert result.low < result.theta < result.high


def test_the_canary_that_nobody_watches_is_rolled_back() -> None:
    trail = evaluate(BUSY, drawn_looks(effect=0.0))
    assert trail.verdict is not None
    assert trail.verdict.decision == "roll_back"
    assert trail.verdict.log_e("harm_first_success") >= np.log(100)
    assert "Fewer viewers" in trail.verdict.reasons[0]


def test_rows_outside_the_ramp_are_ignored_and_an_unknown_stage_is_refused() -> None:
    rows: list[Row] = [(0, 0, False, 5, 5), (1, 0, True, 5, 0)]
    result = evaluate(PLAN, [look(1, rows, rows)]).results[0]
    assert (result.main.requests, result.canary.requests, result.stage) == (0, 0, 0)
    with pytest.raises(InvalidInputError, match="stage 3"):
        evaluate(PLAN, [look(1, [(0, 3, False, 1, 0)])])


def counts_of(looks: Sequence[Look], name: str = "error") -> tuple[int, int, int, int]:
    result = evaluate(PLAN, looks).results[-1]
    one = next(rail for rail in result.guardrails if rail.name == name)
    return one.canary_exposures, one.canary_events, one.main_exposures, one.main_events


def test_a_viewer_counts_once_for_a_guardrail_and_then_leaves_its_exposures() -> None:
    first = look(1, shown=[(0, 1, True, 4, 3), (1, 1, False, 2, 0)])
    second = look(2, shown=[(0, 1, True, 10, 10), (1, 1, False, 3, 1)])
    assert counts_of([first]) == (4, 1, 2, 0)
    assert counts_of([first, second]) == (4, 1, 5, 1)


def test_a_viewer_who_failed_in_main_does_not_count_again_in_the_canary() -> None:
    looks = [look(1, shown=[(0, 1, False, 1, 1)]), look(2, shown=[(0, 2, True, 7, 7)])]
    assert counts_of(looks) == (0, 0, 1, 1)


def test_only_a_viewers_first_requests_are_at_risk() -> None:
    """A robot that never fails would else make the failures of its arm's viewers look few."""
    first = look(1, shown=[(0, 1, True, 15, 0), (1, 1, False, 500, 0)])
    second = look(2, shown=[(0, 1, True, 3, 0), (0, 2, True, 9, 0), (1, 1, False, 500, 1)])
    assert counts_of([first]) == (15, 0, 20, 0)
    assert counts_of([first, second]) == (20, 0, 20, 0)


def test_the_process_of_first_successes_takes_a_viewers_first_requests() -> None:
    rows: list[Row] = [(viewer, 1, viewer % 2 == 0, 50, 0) for viewer in range(4)]
    state = State.begin(PLAN, 0)
    state, _ = step(PLAN, state, look(1, rows))
    assert state.tally.exposures[0, 0].tolist() == [10, 10]


def test_a_guardrail_that_is_not_measured_counts_no_exposures() -> None:
    shown: list[Row] = [(0, 1, True, 4, 1)]
    assert counts_of([look(1, shown=shown)], "p99") == (0, 0, 0, 0)
    assert counts_of([look(1, shown=shown, guardrail="p99")], "p99") == (4, 1, 0, 0)


def cells_of(looks: Sequence[Look]) -> dict[tuple[int, int], tuple[int, int]]:
    result = evaluate(PLAN, looks).results[-1]
    return {(c.from_stage, c.stage): (c.canary_viewers, c.viewers) for c in result.sample_ratio}


def test_the_sample_ratio_asks_each_viewer_once_a_stage_until_in_the_canary() -> None:
    first = look(1, shown=[(0, 1, True, 1, 0), (1, 1, False, 2, 0), (2, 1, False, 1, 0), (2, 1, False, 1, 0)])
    assert cells_of([first]) == {(0, 1): (1, 3)}
    again = look(2, shown=[(0, 2, True, 1, 0), (1, 2, True, 1, 0), (2, 2, False, 1, 0), (3, 2, True, 1, 0)])
    assert cells_of([first, again]) == {(0, 1): (1, 3), (1, 2): (1, 2), (0, 2): (1, 1)}
    repeated = look(3, shown=[(2, 2, False, 5, 0), (1, 2, True, 5, 0)])
    assert cells_of([first, again, repeated]) == cells_of([first, again])


def test_both_stages_in_one_look_are_taken_in_order() -> None:
    shown: list[Row] = [(0, 2, True, 1, 0), (0, 1, False, 1, 0)]
    assert cells_of([look(1, shown=shown)]) == {(0, 1): (0, 1), (1, 2): (1, 1)}


def test_viewers_who_come_back_to_main_are_counted() -> None:
    looks = [look(1, shown=[(0, 1, True, 1, 0)]), look(2, shown=[(0, 1, False, 1, 0), (1, 1, False, 1, 0)])]
    assert [result.arm_changes for result in evaluate(PLAN, looks).results] == [0, 1]


def test_a_broken_sample_ratio_is_invalid_and_plays_main_only() -> None:
    shown: list[Row] = [(viewer, 1, viewer < 300, 1, 0) for viewer in range(1_000)]  # 30% in place of 10%
    trail = evaluate(PLAN, [look(1, shown=shown)])
    assert trail.verdict is not None
    assert trail.verdict.decision == "invalid"
    assert trail.verdict.main_only


def test_blindness_holds_and_after_half_an_hour_plays_main_only() -> None:
    looks = [look(1, blind_ms=12 * MINUTE), look(2, blind_ms=30 * MINUTE), look(3)]
    results = evaluate(PLAN, looks).results
    assert [(one.decision, one.main_only) for one in results] == [
        ("hold", False),
        ("hold", True),
        ("continue", False),
    ]


def test_looks_without_rows_are_blind_once_rows_have_come_and_stay_away() -> None:
    looks = [look(1), look(4), look(5, shown=[(0, 1, True, 1, 0)]), look(7), look(8), look(11)]
    looks += [look(12, [(0, 1, True, 1, 0)]), look(40, shown=[(1, 1, True, 1, 0)])]
    results = evaluate(PLAN, looks).results
    assert [one.decision for one in results] == [*["continue"] * 4, "hold", "hold", *["continue"] * 2]
    assert [one.main_only for one in results] == [*[False] * 5, True, False, False]


def test_the_ramp_steps_from_the_stage_that_data_came_from() -> None:
    rows: list[Row] = [(viewer, 1, viewer % 3 == 0, 4, 1) for viewer in range(90)]
    looks = [look(1, shown=rows), look(2, rows, rows), look(3), look(4, shown=[(0, 2, True, 1, 0)])]
    results = evaluate(BUSY, looks).results
    assert [one.decision for one in results] == ["continue", "step_ramp", "step_ramp", "continue"]
    assert [one.next_stage for one in results] == [None, 2, 2, None]
    assert [one.stage for one in results] == [1, 1, 1, 2]


def test_reasons_say_that_it_is_viewers_that_an_estimate_waits_for() -> None:
    rows = [(viewer, 1, viewer % 2 == 1, 50, 20) for viewer in range(4)]
    result = evaluate(PLAN, [look(1, rows)]).results[0]
    assert (result.canary.successes, result.theta) == (40, None)
    assert "successes of enough viewers in both arms" in " ".join(result.reasons)


def test_reasons_say_what_is_missing() -> None:
    result = evaluate(PLAN, [look(1, shown=[(0, 1, True, 1, 0)])]).results[0]
    said = " ".join(result.reasons)
    assert "0 of 1,000 matured canary requests" in said
    assert "0 of 100 canary viewers" in said
    assert "5 min of at least 24 h" in said


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([(0, 1, True, 1, 2)], "more successes than requests"),
        ([(-1, 1, True, 1, 0)], "viewer must lie between"),
        ([(1, 1, True, 2**31, 0)], "requests must lie between"),
    ],
)
def test_rows_that_cannot_be_are_refused(rows: list[Row], named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        matured(rows)


def test_a_guardrail_nobody_knows_is_refused_and_one_the_plan_does_without_is_not() -> None:
    """A misspelt one would never be looked at, and the canary promoted past it."""
    for name, plan in (("p95", replace(PLAN, guardrails=())), ("error", PLAN)):
        assert evaluate(plan, [look(1, shown=[(0, 1, True, 1, 1)], guardrail=name)]).results
    with pytest.raises(InvalidInputError, match="unknown field 'errors'; did you mean error"):
        evaluate(PLAN, [look(1, shown=[(0, 1, True, 1, 1)], guardrail="errors")])


def test_a_look_at_no_time_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="look at nan"):
        Look(float("nan"))  # type: ignore[arg-type]


def test_columns_of_different_length_or_type_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="stage has 1 rows"):
        Matured(np.arange(2), np.ones(1, np.int64), np.ones(2, np.bool_), np.arange(2), np.arange(2))
    with pytest.raises(InvalidInputError, match="whole numbers"):
        Matured(np.array([0.5]), np.ones(1, np.int64), np.ones(1, np.bool_), np.ones(1, np.int64))
    with pytest.raises(InvalidInputError, match="booleans"):
        Matured(*(np.ones(1, np.int64),) * 5)  # type: ignore[arg-type]
