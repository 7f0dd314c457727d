"""Online evaluation: may the canary become main? Pure functions over arrays; see docs/online-evaluation.md."""

from deploy.evaluation.kernel import State, evaluate, step
from deploy.evaluation.looks import Before, Look, Matured, Served
from deploy.evaluation.plan import Guardrail, RampStage, ReleasePlan
from deploy.evaluation.results import (
    VERDICTS,
    ArmCounts,
    Decision,
    Evidence,
    GuardrailCounts,
    LookResult,
    SampleRatioCell,
    StageCounts,
    Trail,
    canonical,
)

__all__ = [
    "VERDICTS",
    "ArmCounts",
    "Before",
    "Decision",
    "Evidence",
    "Guardrail",
    "GuardrailCounts",
    "Look",
    "LookResult",
    "Matured",
    "RampStage",
    "ReleasePlan",
    "SampleRatioCell",
    "Served",
    "StageCounts",
    "State",
    "Trail",
    "canonical",
    "evaluate",
    "step",
]
