"""The evaluation: `step` takes in one look, `evaluate` a whole release. Pure: no clock, no store."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from core.errors import InvalidInputError
from deploy.evaluation.decision import Facts, decide
from deploy.evaluation.evidence import interval_radius
from deploy.evaluation.looks import Look
from deploy.evaluation.measures import Constants, Measures, measure
from deploy.evaluation.numbering import Numbering
from deploy.evaluation.plan import GUARDRAILS, ReleasePlan, check_known
from deploy.evaluation.reasons import comparison, reasons
from deploy.evaluation.results import (
    ArmCounts,
    Decision,
    Evidence,
    GuardrailCounts,
    LookResult,
    SampleRatioCell,
    StageCounts,
    Trail,
)
from deploy.evaluation.tallies import FIRST_SUCCESS, Tally

_MAIN, _CANARY = 0, 1


@dataclass(slots=True, eq=False)
class State:
    """Everything an evaluation remembers between looks. Made by `State.begin`, moved on by `step`."""

    constants: Constants
    tally: Tally
    numbering: Numbering
    started_ms: int
    at_ms: int
    looks: int = 0
    stage: int = 0  # the latest that data came from
    stage_since_ms: int = 0
    heard_ms: int | None = None  # the latest look with rows
    used_up: bool = False

    @classmethod
    def begin(cls, plan: ReleasePlan, started_ms: int) -> State:
        """Before the first look of a release that started at `started_ms`."""
        return cls(Constants.of(plan), Tally(plan), Numbering(), started_ms, started_ms)


def step(plan: ReleasePlan, state: State, look: Look) -> tuple[State, LookResult]:
    """Take in one look, in time proportional to its rows.

    The state passed in is used up, because its arrays (by viewer) move into the one returned instead of
    being copied; to go back in time, evaluate the looks again.

    Raises:
        InvalidInputError: the look is not later than the one before, a stage or guardrail is not in the plan,
            or the state was used already.
    """
    if state.used_up:
        raise InvalidInputError("this state has been stepped already; go on from the one that step returned")
    if look.at_ms <= state.at_ms:
        raise InvalidInputError(
            f"a look at {look.at_ms} after one at {state.at_ms}: looks must come in order"
        )
    for name in look.served.events:
        check_known("served events", name, {rail.name for rail in (*plan.guardrails, *GUARDRAILS)})
    look = state.numbering.of(look)
    state.tally.add(look.before, look.matured, look.served)
    moved = _move(state, look)
    state.used_up = True
    return moved, _result(plan, moved, look, measure(plan, moved.constants, moved.tally))


def evaluate(plan: ReleasePlan, looks: Iterable[Look], started_ms: int | None = None) -> Trail:
    """The decision trail of a release, up to and including the first look that decides.

    `started_ms` defaults to one look interval before the first look.

    Raises:
        InvalidInputError: as `step`.
    """
    state: State | None = None
    results: list[LookResult] = []
    for look in looks:
        if state is None:
            state = State.begin(plan, look.at_ms - plan.look_every_ms if started_ms is None else started_ms)
        state, result = step(plan, state, look)
        results.append(result)
        if result.is_verdict:
            break
    return Trail(tuple(results))


def _move(state: State, look: Look) -> State:
    latest = max(
        (int(rows.stage.max()) for rows in (look.served, look.matured) if rows.stage.size), default=0
    )
    stage = max(state.stage, latest)
    since = look.at_ms if stage > state.stage else state.stage_since_ms
    heard = look.at_ms if look.served.viewer.size or look.matured.viewer.size else state.heard_ms
    return replace(
        state,
        at_ms=look.at_ms,
        looks=state.looks + 1,
        stage=stage,
        stage_since_ms=since,
        heard_ms=heard,
    )


def _blind_ms(plan: ReleasePlan, state: State, look: Look) -> int:
    """As the look says; where it says nothing, how long rows have stayed away that had come before."""
    if look.blind_ms is not None:
        return look.blind_ms
    silent_ms = 0 if state.heard_ms is None else look.at_ms - state.heard_ms
    return silent_ms if silent_ms > plan.stale_after_ms else 0


def _result(plan: ReleasePlan, state: State, look: Look, measures: Measures) -> LookResult:
    facts = _facts(plan, state, look, measures)
    decision = decide(plan, facts)
    evidence = _evidence(plan, measures)
    theta, low, high = _interval(plan, state.constants, measures)
    information = float(measures.estimate.information[0])
    return LookResult(
        look=state.looks,
        at_ms=state.at_ms,
        elapsed_ms=facts.elapsed_ms,
        stage=state.stage,
        next_stage=_next_stage(state.stage, decision),
        decision=decision,
        reasons=reasons(plan, facts, decision, evidence, comparison(theta, low, high), look.abort),
        main_only=decision == "invalid" or (decision == "hold" and facts.blind_ms >= plan.main_only_after_ms),
        theta=theta,
        theta_unadjusted=None if theta is None else float(measures.estimate.plain[0]),
        se=None if theta is None else 1 / math.sqrt(information),
        low=low,
        high=high,
        information=information,
        cuped_beta=float(measures.estimate.beta[0]),
        canary_viewers=facts.canary_viewers,
        main_viewers=int(state.tally.viewers[0, _MAIN]),
        canary=_arm(state.tally, _CANARY),
        main=_arm(state.tally, _MAIN),
        arm_changes=int(state.tally.arm_changes[0]),
        evidence=evidence,
        stages=_stages(plan, state.tally, measures),
        guardrails=_guardrails(plan, state.tally),
        sample_ratio=_sample_ratio(state),
    )


def _next_stage(stage: int, decision: Decision) -> int | None:
    return stage + 1 if decision == "step_ramp" else None


def _facts(plan: ReleasePlan, state: State, look: Look, measures: Measures) -> Facts:
    canary, main = _arm(state.tally, _CANARY), _arm(state.tally, _MAIN)
    return Facts(
        elapsed_ms=state.at_ms - state.started_ms,
        stage=state.stage,
        in_stage_ms=state.at_ms - state.stage_since_ms if state.stage else 0,
        canary_requests=canary.requests,
        canary_viewers=int(state.tally.viewers[0, _CANARY]),
        canary_successes=canary.successes,
        main_successes=main.successes,
        information=float(measures.estimate.information[0]),
        log_harm=float(max(measures.harm_ratio[0], measures.harm_first_success[0])),
        log_non_inferiority=float(measures.non_inferiority[0]),
        log_guardrails=tuple(float(value) for value in measures.guardrails[0]),
        log_sample_ratio=float(measures.sample_ratio[0]),
        blind_ms=_blind_ms(plan, state, look),
        aborted=bool(look.abort),
    )


def _evidence(plan: ReleasePlan, measures: Measures) -> tuple[Evidence, ...]:
    harm, guardrail = -math.log(plan.alpha_harm), -math.log(plan.alpha_guardrail)
    return (
        Evidence("harm_ratio", float(measures.harm_ratio[0]), harm),
        Evidence("harm_first_success", float(measures.harm_first_success[0]), harm),
        Evidence(
            "non_inferiority", float(measures.non_inferiority[0]), -math.log(plan.alpha_non_inferiority)
        ),
        *(
            Evidence(f"guardrail_{rail.name}", float(log_e), guardrail)
            for rail, log_e in zip(plan.guardrails, measures.guardrails[0], strict=True)
        ),
        Evidence("sample_ratio", float(measures.sample_ratio[0]), -math.log(plan.alpha_sample_ratio)),
    )


def _interval(
    plan: ReleasePlan, constants: Constants, measures: Measures
) -> tuple[float | None, float | None, float | None]:
    information = float(measures.estimate.information[0])
    if information <= 0:
        return None, None, None
    theta = float(measures.estimate.theta[0])
    radius = float(interval_radius(information, constants.interval_rho, plan.alpha_interval))
    return theta, theta - radius, theta + radius


def _arm(tally: Tally, arm: int) -> ArmCounts:
    requests, successes = tally.sums[0, :2, :, arm].sum(-1)
    return ArmCounts(int(requests), int(successes))


def _stages(plan: ReleasePlan, tally: Tally, measures: Measures) -> tuple[StageCounts, ...]:
    n, y = tally.sums[0, 0], tally.sums[0, 1]
    found = measures.estimate
    return tuple(
        StageCounts(
            stage=number + 1,
            share=stage.share,
            canary=ArmCounts(int(n[number, _CANARY]), int(y[number, _CANARY])),
            main=ArmCounts(int(n[number, _MAIN]), int(y[number, _MAIN])),
            theta=float(found.stage_theta[0, number]) if found.used[0, number] else None,
            weight=float(found.weight[0, number]),
            used=bool(found.used[0, number]),
        )
        for number, stage in enumerate(plan.ramp)
    )


def _guardrails(plan: ReleasePlan, tally: Tally) -> tuple[GuardrailCounts, ...]:
    return tuple(
        GuardrailCounts(
            name=rail.name,
            ratio_allowed=rail.ratio,
            canary_exposures=int(tally.exposures[0, number, _CANARY]),
            canary_events=int(tally.events[0, number, _CANARY]),
            main_exposures=int(tally.exposures[0, number, _MAIN]),
            main_events=int(tally.events[0, number, _MAIN]),
        )
        for number, rail in enumerate(plan.guardrails, FIRST_SUCCESS + 1)
    )


def _sample_ratio(state: State) -> tuple[SampleRatioCell, ...]:
    counts, expected = state.tally.first_seen[0], state.constants.expected
    return tuple(
        SampleRatioCell(
            from_stage=before,
            stage=stage + 1,
            expected_share=float(expected[before, stage]),
            canary_viewers=int(counts[before, stage, _CANARY]),
            viewers=int(counts[before, stage].sum()),
        )
        for before in range(counts.shape[0])
        for stage in range(counts.shape[1])
        if counts[before, stage].sum() > 0
    )
