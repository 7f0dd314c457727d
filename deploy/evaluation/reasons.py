"""Why a look decided as it did, in sentences with the numbers."""

from __future__ import annotations

import math

from core.clock import HOUR, MINUTE, SECOND
from deploy.evaluation.decision import Facts
from deploy.evaluation.plan import ReleasePlan
from deploy.evaluation.results import Decision, Evidence


def duration(ms: int) -> str:
    """A duration for people: 90 s, 45 min, 26.5 h."""
    if ms < 2 * MINUTE:
        return f"{ms / SECOND:.3g} s"
    return f"{ms / MINUTE:.3g} min" if ms < 2 * HOUR else f"{ms / HOUR:.3g} h"


def odds(log_e: float) -> str:
    """An e-value for people, to three digits: 0.4, 11.7, 293,000, 4 million."""
    if log_e > math.log(999.5e12):
        return f"10^{log_e / math.log(10):.0f}"
    value = float(f"{math.exp(log_e):.3g}")
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:g} {name}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else "less than 0.001"


def share(value: float) -> str:
    """A part of 1 as a percentage: 0.25 as 25%, 0.005 as 0.5%."""
    return f"{100 * value:.3g}%"


def percent(theta: float) -> str:
    """A log ratio as a signed percentage."""
    return f"{math.expm1(min(theta, 50.0)):+.1%}"


def comparison(theta: float | None, low: float | None, high: float | None) -> str:
    """The estimate in one sentence."""
    if theta is None or low is None or high is None:
        return "No stage has enough successes of enough viewers in both arms for an estimate yet."
    return (
        f"The canary's watch-through is {percent(theta)} against main's "
        f"(interval {percent(low)} to {percent(high)})."
    )


def reasons(
    plan: ReleasePlan,
    facts: Facts,
    decision: Decision,
    evidence: tuple[Evidence, ...],
    estimate: str,
    abort: str,
) -> tuple[str, ...]:
    """Sentences for a decision; the first says why, the others what stands beside it."""
    fired = tuple(_fired(entry) for entry in evidence if entry.fired)
    sentences: dict[Decision, tuple[str, ...]] = {
        "roll_back": (f"Aborted: {abort}", estimate) if facts.aborted else (*fired, estimate),
        "invalid": (*fired, "The arms do not get the viewers they should, so nothing may be concluded."),
        "hold": (_blind(plan, facts), estimate),
        "promote": (*fired, estimate),
        "inconclusive": (_over(plan, facts), estimate, *promotion_lacks(plan, facts)),
        "step_ramp": (_step(plan, facts), estimate),
        "continue": (estimate, *ramp_lacks(plan, facts), *promotion_lacks(plan, facts)),
    }
    return sentences[decision]


_MEANING = {
    "harm_ratio": "The canary is watched less than main",
    "harm_first_success": "Fewer viewers of the canary watch anything at all",
    "non_inferiority": "The canary is not worse than the margin allows",
    "sample_ratio": "The arms' shares of new viewers are not as planned",
}


def _fired(evidence: Evidence) -> str:
    guardrail = evidence.name.removeprefix("guardrail_")
    meaning = _MEANING.get(evidence.name, f"The canary breaks the guardrail {guardrail!r}")
    return f"{meaning}: evidence {odds(evidence.log_e)} to 1, {odds(evidence.log_threshold)} needed."


def _blind(plan: ReleasePlan, facts: Facts) -> str:
    what = "main plays alone" if facts.blind_ms >= plan.main_only_after_ms else "nothing is decided"
    return f"No data for {duration(facts.blind_ms)}: {what} until they return."


def _over(plan: ReleasePlan, facts: Facts) -> str:
    if facts.elapsed_ms >= plan.max_duration_ms:
        return f"The longest duration, {duration(plan.max_duration_ms)}, is over without a decision."
    return f"The planned information {plan.max_information:,.0f} is reached without a decision."


def _step(plan: ReleasePlan, facts: Facts) -> str:
    grown = share(plan.ramp[min(facts.stage, len(plan.ramp) - 1)].share)
    return f"After {facts.canary_requests:,} matured canary requests without harm the share grows to {grown}."


def ramp_lacks(plan: ReleasePlan, facts: Facts) -> tuple[str, ...]:
    """What the next step of the ramp waits for."""
    if not 0 < facts.stage < len(plan.ramp):
        return ()
    needed = plan.ramp[facts.stage - 1].canary_requests
    checks = (
        (
            facts.canary_requests >= needed,
            f"{facts.canary_requests:,} of {needed:,} matured canary requests",
        ),
        (
            facts.in_stage_ms >= plan.window_ms,
            f"{duration(facts.in_stage_ms)} of {duration(plan.window_ms)} in this stage",
        ),
        (
            facts.log_harm < math.log(plan.ramp_harm_below),
            f"evidence of harm at {odds(facts.log_harm)}, below {plan.ramp_harm_below:g} needed",
        ),
        (
            facts.log_guardrail < math.log(plan.guardrail_calm_below),
            f"a guardrail at {odds(facts.log_guardrail)}, below {plan.guardrail_calm_below:g} needed",
        ),
    )
    return tuple(f"The next share waits: {text}." for holds, text in checks if not holds)


def promotion_lacks(plan: ReleasePlan, facts: Facts) -> tuple[str, ...]:
    """What promotion waits for."""
    successes = min(facts.canary_successes, facts.main_successes)
    checks = (
        (
            facts.log_non_inferiority >= -math.log(plan.alpha_non_inferiority),
            f"evidence of non-inferiority {odds(facts.log_non_inferiority)} to 1, "
            f"{1 / plan.alpha_non_inferiority:g} needed",
        ),
        (
            facts.elapsed_ms >= plan.min_duration_ms,
            f"{duration(facts.elapsed_ms)} of at least {duration(plan.min_duration_ms)}",
        ),
        (
            facts.canary_viewers >= plan.min_canary_viewers,
            f"{facts.canary_viewers:,} of {plan.min_canary_viewers:,} canary viewers",
        ),
        (successes >= plan.min_successes, f"{successes:,} of {plan.min_successes:,} successes in each arm"),
        (
            facts.log_guardrail <= math.log(plan.guardrail_calm_below),
            f"a guardrail at {odds(facts.log_guardrail)}, at most {plan.guardrail_calm_below:g} allowed",
        ),
    )
    return tuple(f"Promotion waits: {text}." for holds, text in checks if not holds)
