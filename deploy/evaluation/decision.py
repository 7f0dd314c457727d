"""The decision rule: the first line that applies decides."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deploy.evaluation.plan import ReleasePlan
from deploy.evaluation.results import Decision


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rule looks at. `log_guardrails` has one entry per guardrail; `stage` is 0 before any data."""

    elapsed_ms: int
    stage: int
    in_stage_ms: int
    canary_requests: int
    canary_viewers: int
    canary_successes: int
    main_successes: int
    information: float
    log_harm: float  # the stronger of the two processes
    log_non_inferiority: float
    log_guardrails: tuple[float, ...]
    log_sample_ratio: float
    blind_ms: int
    aborted: bool

    @property
    def log_guardrail(self) -> float:
        """The guardrail closest to firing."""
        return max(self.log_guardrails, default=-math.inf)


def decide(plan: ReleasePlan, facts: Facts) -> Decision:
    """What to do now. Only "continue", "step_ramp" and "hold" let the release go on."""
    rules: tuple[tuple[bool, Decision], ...] = (
        (facts.aborted, "roll_back"),
        (facts.log_guardrail >= -math.log(plan.alpha_guardrail), "roll_back"),
        (facts.log_harm >= -math.log(plan.alpha_harm), "roll_back"),
        (facts.log_sample_ratio >= -math.log(plan.alpha_sample_ratio), "invalid"),
        (facts.blind_ms > 0, "hold"),
        (may_promote(plan, facts), "promote"),
        (is_over(plan, facts), "inconclusive"),
        (may_step(plan, facts), "step_ramp"),
    )
    return next((decision for applies, decision in rules if applies), "continue")


def may_promote(plan: ReleasePlan, facts: Facts) -> bool:
    """Non-inferiority fired, over at least a day, on enough viewers, with calm guardrails."""
    return (
        facts.log_non_inferiority >= -math.log(plan.alpha_non_inferiority)
        and facts.elapsed_ms >= plan.min_duration_ms
        and facts.canary_viewers >= plan.min_canary_viewers
        and min(facts.canary_successes, facts.main_successes) >= plan.min_successes
        and facts.log_guardrail <= math.log(plan.guardrail_calm_below)
    )


def is_over(plan: ReleasePlan, facts: Facts) -> bool:
    """The longest time, or the planned information once promotion is possible at all, is reached."""
    if facts.elapsed_ms >= plan.max_duration_ms:
        return True
    return facts.information >= plan.max_information and facts.elapsed_ms >= plan.min_duration_ms


def may_step(plan: ReleasePlan, facts: Facts) -> bool:
    """The ramp: enough matured canary requests, a whole window in the stage, nothing suspicious."""
    return (
        0 < facts.stage < len(plan.ramp)
        and facts.canary_requests >= plan.ramp[facts.stage - 1].canary_requests
        and facts.in_stage_ms >= plan.window_ms
        and facts.log_harm < math.log(plan.ramp_harm_below)
        and facts.log_guardrail < math.log(plan.guardrail_calm_below)
    )
