"""The numbers of a look, computed from the tally for every lane at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deploy.evaluation.estimate import Estimate, estimate
from deploy.evaluation.evidence import (
    Floats,
    expected_shares,
    log_mixture,
    log_normal_mixture,
    log_sample_ratio,
    mixture_rho,
)
from deploy.evaluation.plan import ReleasePlan
from deploy.evaluation.tallies import FIRST_SUCCESS, Tally


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """Estimate and log e-values; the first axis is the lane, `guardrails` has one column per guardrail."""

    estimate: Estimate
    harm_ratio: Floats
    harm_first_success: Floats
    non_inferiority: Floats
    guardrails: Floats
    sample_ratio: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Constants:
    """What follows from the plan alone, computed once."""

    harm_rho: float
    non_inferiority_rho: float
    interval_rho: float
    margin: float  # -log(1 - margin), added to theta
    expected: Floats

    @classmethod
    def of(cls, plan: ReleasePlan) -> Constants:
        return cls(
            harm_rho=mixture_rho(plan.harm_information, plan.alpha_harm),
            non_inferiority_rho=mixture_rho(plan.non_inferiority_information, plan.alpha_non_inferiority),
            interval_rho=mixture_rho(plan.interval_information, plan.alpha_interval),
            margin=-math.log1p(-plan.margin),
            expected=expected_shares(plan.shares),
        )


def measure(plan: ReleasePlan, constants: Constants, tally: Tally) -> Measures:
    """The numbers as of now."""
    found = estimate(tally.sums, tally.moments, plan.min_stage_successes, plan.min_stage_viewers)
    information = found.information
    processes = log_mixture(tally.log_ratios)
    return Measures(
        estimate=found,
        harm_ratio=log_normal_mixture(-found.theta * information, information, constants.harm_rho),
        harm_first_success=processes[:, FIRST_SUCCESS],
        non_inferiority=log_normal_mixture(
            (found.theta + constants.margin) * information, information, constants.non_inferiority_rho
        ),
        guardrails=processes[:, FIRST_SUCCESS + 1 :],
        sample_ratio=log_sample_ratio(
            tally.first_seen, constants.expected, plan.sample_ratio_concentration, plan.sample_ratio_loss
        ),
    )
