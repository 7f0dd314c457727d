"""What an evaluation says: one `LookResult` for each look, and the `Trail` of them up to the verdict."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from core.errors import InvalidInputError

Decision = Literal["continue", "step_ramp", "promote", "roll_back", "hold", "invalid", "inconclusive"]
VERDICTS: frozenset[Decision] = frozenset({"promote", "roll_back", "invalid", "inconclusive"})

# Digits that are written down. The kernel decides on unrounded numbers; rounding keeps the bytes of a replay
# equal where two processors differ in the last bit of a logarithm.
DIGITS = 10


@dataclass(frozen=True, slots=True)
class Evidence:
    """One e-process: how strongly the data speak against its null hypothesis.

    `name`: harm_ratio, harm_first_success, non_inferiority, guardrail_<name>, sample_ratio. `log_e` is the
    natural logarithm of the e-value, `log_threshold` where it fires.
    """

    name: str
    log_e: float
    log_threshold: float

    @property
    def fired(self) -> bool:
        return self.log_e >= self.log_threshold


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """Matured requests and their successes in one arm of one stage."""

    requests: int
    successes: int


@dataclass(frozen=True, slots=True)
class StageCounts:
    """One stage of the ramp, `used`: both arms have the successes and viewers to count in the estimate."""

    stage: int
    share: float
    canary: ArmCounts
    main: ArmCounts
    theta: float | None
    weight: float
    used: bool


@dataclass(frozen=True, slots=True)
class GuardrailCounts:
    """First events and exposures still at risk, since the release started."""

    name: str
    ratio_allowed: float
    canary_exposures: int
    canary_events: int
    main_exposures: int
    main_events: int


@dataclass(frozen=True, slots=True)
class SampleRatioCell:
    """Viewers last seen in main in stage `from_stage` (0: never) at their first request in `stage`."""

    from_stage: int
    stage: int
    expected_share: float
    canary_viewers: int
    viewers: int


@dataclass(frozen=True, slots=True)
class LookResult:
    """The state of a release at one look, complete enough to draw its page from.

    `theta` is log(canary watch-through / main's), None while no stage has enough successes; `low` and `high`
    its confidence sequence (valid at every look together), `information` is 1 / se^2. `theta_unadjusted` is
    the estimate without CUPED. `stage` is the latest stage that data came from, 0 before any.
    `main_only` says that main should play alone until data return. `reasons` are sentences.
    """

    look: int
    at_ms: int
    elapsed_ms: int
    stage: int
    next_stage: int | None
    decision: Decision
    reasons: tuple[str, ...]
    main_only: bool
    theta: float | None
    theta_unadjusted: float | None
    se: float | None
    low: float | None
    high: float | None
    information: float
    cuped_beta: float
    canary_viewers: int
    main_viewers: int
    canary: ArmCounts
    main: ArmCounts
    arm_changes: int
    evidence: tuple[Evidence, ...]
    stages: tuple[StageCounts, ...]
    guardrails: tuple[GuardrailCounts, ...]
    sample_ratio: tuple[SampleRatioCell, ...]

    @property
    def is_verdict(self) -> bool:
        return self.decision in VERDICTS

    def log_e(self, name: str) -> float:
        """The evidence of one process by name."""
        return next(evidence.log_e for evidence in self.evidence if evidence.name == name)

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object, floats rounded to ten significant digits."""
        plain = _plain(dataclasses.asdict(self))
        assert isinstance(plain, dict)  # noqa: S101 - for mypy: a dict in is a dict out
        return plain

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> LookResult:
        """A result read back from its row; for pages, never to go on with an evaluation.

        Raises:
            InvalidInputError: not an object that `to_json` wrote.
        """
        try:
            parts: dict[str, Any] = dict(
                value,
                reasons=tuple(value["reasons"]),
                canary=ArmCounts(**value["canary"]),
                main=ArmCounts(**value["main"]),
                evidence=tuple(Evidence(**entry) for entry in value["evidence"]),
                stages=tuple(_stage(entry) for entry in value["stages"]),
                guardrails=tuple(GuardrailCounts(**entry) for entry in value["guardrails"]),
                sample_ratio=tuple(SampleRatioCell(**entry) for entry in value["sample_ratio"]),
            )
            return cls(**parts)
        except (KeyError, TypeError) as error:
            raise InvalidInputError(f"not the result of a look: {error}") from None


@dataclass(frozen=True, slots=True)
class Trail:
    """Every look in order, up to the first that decides."""

    results: tuple[LookResult, ...]

    @property
    def verdict(self) -> LookResult | None:
        """The look that decided; None while the release goes on."""
        return self.results[-1] if self.results and self.results[-1].is_verdict else None

    def to_json(self) -> dict[str, Any]:
        verdict = self.verdict
        return {
            "verdict": verdict.decision if verdict else None,
            "reasons": list(verdict.reasons) if verdict else [],
            "looks": [result.to_json() for result in self.results],
        }


def canonical(value: object) -> str:
    """JSON whose bytes depend on the value alone: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _stage(value: dict[str, Any]) -> StageCounts:
    arms: dict[str, Any] = {arm: ArmCounts(**value[arm]) for arm in ("canary", "main")}
    return StageCounts(**dict(value, **arms))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"a result holds {value!r}")
        return float(f"{value:.{DIGITS}g}")
    return value
