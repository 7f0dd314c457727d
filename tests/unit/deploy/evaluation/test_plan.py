"""The plan: every parameter is checked by name, and survives JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.clock import HOUR
from core.errors import InvalidSettingError
from deploy.evaluation import Guardrail, RampStage, ReleasePlan


def test_a_plan_survives_json() -> None:
    plan = ReleasePlan(ramp=(RampStage(0.1, 50), RampStage(0.5)), margin=0.02, on_inconclusive="extend")
    assert ReleasePlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_what_is_left_out_has_its_default() -> None:
    assert ReleasePlan.from_json({}) == ReleasePlan()
    assert ReleasePlan.from_json({"window_ms": HOUR}).window_ms == HOUR


def test_the_defaults_spend_five_percent_on_false_roll_backs() -> None:
    plan = ReleasePlan()
    assert 2 * plan.alpha_harm + len(plan.guardrails) * plan.alpha_guardrail == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"alpha_harm": 0}, "alpha_harm"),
        ({"alpha_harm": 1}, "alpha_harm"),
        ({"alpha_non_inferiority": 1.5}, "alpha_non_inferiority"),
        ({"alpha_guardrail": -0.1}, "alpha_guardrail"),
        ({"alpha_sample_ratio": float("nan")}, "alpha_sample_ratio"),
        ({"margin": 1}, "margin"),
        ({"margin": True}, "margin"),
        ({"window_ms": 0}, "window_ms"),
        ({"window_ms": 1.5}, "window_ms"),
        ({"window_ms": 999}, "window_ms"),
        ({"min_duration_ms": 1000}, "min_duration_ms"),
        ({"max_duration_ms": 2 * HOUR}, "max_duration_ms"),
        ({"min_duration_ms": 80 * HOUR}, "max_duration_ms"),
        ({"ramp": []}, "ramp"),
        ({"ramp": [{"share": 0.1}, {"share": 0.1}]}, "ramp stage 2 share"),
        ({"ramp": [{"share": 20}]}, "ramp stage 1 share"),
        ({"ramp": [{"share": 0.1, "canary_requests": -1}]}, "canary_requests"),
        ({"ramp": [{"canary_requests": 1}]}, "ramp"),
        ({"ramp": "1%"}, "ramp"),
        ({"guardrails": [{"name": "error", "ratio": 0.5}]}, "guardrail error ratio"),
        ({"guardrails": [{"name": "a", "ratio": 2}, {"name": "a", "ratio": 2}]}, "guardrails"),
        ({"on_inconclusive": "promote"}, "on_inconclusive"),
        ({"harm_information": float("inf")}, "harm_information"),
        ({"cuped": 1}, "cuped"),
        ({"ratio_smallest": 60}, "ratio_largest"),
        ({"ratio_points": 10**12}, "ratio_points"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(given: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSettingError, match=named):
        ReleasePlan.from_json(given)


def test_a_misspelt_field_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidSettingError, match="did you mean window_ms"):
        ReleasePlan.from_json({"windows_ms": HOUR})
    with pytest.raises(InvalidSettingError, match="did you mean share"):
        ReleasePlan.from_json({"ramp": [{"shares": 0.1}]})


def test_guardrails_can_be_chosen() -> None:
    plan = ReleasePlan.from_json({"guardrails": [{"name": "stalls", "ratio": 1.2}]})
    assert plan.guardrails == (Guardrail("stalls", 1.2),)
