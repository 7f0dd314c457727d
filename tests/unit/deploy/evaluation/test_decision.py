"""The decision rule, line by line: the first that applies decides."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from core.clock import HOUR, MINUTE
from deploy.evaluation import ReleasePlan
from deploy.evaluation.decision import Facts, decide

PLAN = ReleasePlan()
# Everything that promotion needs.
GOOD = Facts(
    elapsed_ms=30 * HOUR,
    stage=5,
    in_stage_ms=5 * HOUR,
    canary_requests=50_000,
    canary_viewers=9_000,
    canary_successes=5_000,
    main_successes=9_000,
    information=3_000.0,
    log_harm=0.0,
    log_non_inferiority=math.log(20),
    log_guardrails=(0.0, 0.0),
    log_sample_ratio=0.0,
    blind_ms=0,
    aborted=False,
)
CALM = replace(GOOD, log_non_inferiority=0.0, stage=2, canary_requests=4_000)


def test_evidence_of_non_inferiority_promotes() -> None:
    assert decide(PLAN, GOOD) == "promote"


@pytest.mark.parametrize(
    ("changed", "decision"),
    [
        ({"aborted": True, "log_sample_ratio": 99.0}, "roll_back"),
        ({"log_guardrails": (0.0, math.log(200)), "log_sample_ratio": 99.0}, "roll_back"),
        ({"log_harm": math.log(100), "log_sample_ratio": 99.0}, "roll_back"),
        ({"log_sample_ratio": math.log(1000), "blind_ms": HOUR}, "invalid"),
        ({"blind_ms": 11 * MINUTE}, "hold"),
        ({"blind_ms": HOUR, "elapsed_ms": 80 * HOUR}, "hold"),
    ],
)
def test_what_forbids_promotion_comes_first(changed: dict[str, Any], decision: str) -> None:
    assert decide(PLAN, replace(GOOD, **changed)) == decision


@pytest.mark.parametrize(
    "changed",
    [
        {"log_non_inferiority": math.log(19.9)},
        {"elapsed_ms": 24 * HOUR - 1},
        {"canary_viewers": 99},
        {"canary_successes": 29},
        {"main_successes": 29},
        {"log_guardrails": (math.log(21), 0.0)},
    ],
)
def test_promotion_needs_all_of_it(changed: dict[str, Any]) -> None:
    assert decide(PLAN, replace(GOOD, **changed)) == "continue"


def test_the_end_is_inconclusive_and_never_a_promotion() -> None:
    undecided = replace(GOOD, log_non_inferiority=0.0)
    assert decide(PLAN, replace(undecided, elapsed_ms=72 * HOUR)) == "inconclusive"
    assert decide(PLAN, replace(undecided, information=13_400.0)) == "inconclusive"
    assert decide(PLAN, replace(undecided, information=13_400.0, elapsed_ms=20 * HOUR)) == "continue"


@pytest.mark.parametrize(
    ("changed", "decision"),
    [
        ({}, "step_ramp"),
        ({"canary_requests": 3_999}, "continue"),
        ({"in_stage_ms": 2 * HOUR - 1}, "continue"),
        ({"log_harm": math.log(5)}, "continue"),
        ({"log_guardrails": (math.log(20),)}, "continue"),
        ({"stage": 0}, "continue"),
        ({"stage": 5, "canary_requests": 10**6}, "continue"),
    ],
)
def test_the_ramp_steps_when_nothing_speaks_against_it(changed: dict[str, Any], decision: str) -> None:
    assert decide(PLAN, replace(CALM, **changed)) == decision
