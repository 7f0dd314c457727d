"""The plan of a release: every parameter of its online evaluation, fixed before the first viewer sees it."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from core.clock import HOUR, MINUTE, SECOND
from core.errors import InvalidSettingError

OnInconclusive = Literal["ask", "extend", "roll_back"]


@dataclass(frozen=True, slots=True)
class RampStage:
    """One share of the audience (0 to 1).

    The next stage may begin once the release has `canary_requests` matured canary requests in all, counted
    since it started. The last stage needs none.
    """

    share: float
    canary_requests: int = 0


@dataclass(frozen=True, slots=True)
class Guardrail:
    """Something that must not happen more than `ratio` times as often in the canary as in main."""

    name: str
    ratio: float


RAMP: Final = (
    RampStage(0.01, 1_000),
    RampStage(0.05, 4_000),
    RampStage(0.10, 8_000),
    RampStage(0.25, 20_000),
    RampStage(0.50),
)
GUARDRAILS: Final = (
    Guardrail("error", 1.5),  # the arm answered with an error
    Guardrail("fallback", 1.5),  # it did not answer in time, or another arm had to answer
    Guardrail("short", 1.5),  # an empty list, or fewer videos than asked for
    Guardrail("p95", 1.1),  # slower than main's 95th percentile in the look before
    Guardrail("p99", 1.25),  # slower than main's 99th percentile in the look before
    Guardrail("reserve", 1.5),  # the level is spent on it whether or not it is used
)


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """Every parameter of an online evaluation. Durations are milliseconds, levels are probabilities.

    The figures of docs/online-evaluation.md were measured with the defaults. A demo may shorten durations
    and the ramp; levels, margin and minima are what the error rates rest on.

    Raises:
        InvalidSettingError: a value out of range; the message names the field.
    """

    # time
    window_ms: int = 2 * HOUR  # W: how long after a request its success may come
    ingest_delay_ms: int = MINUTE  # by then an event or exposure received is stored
    look_every_ms: int = 5 * MINUTE
    min_duration_ms: int = 24 * HOUR
    max_duration_ms: int = 72 * HOUR
    main_only_after_ms: int = 30 * MINUTE  # blind for so long: main only
    stale_after_ms: int = 10 * MINUTE  # without any exposure for so long: blind

    # ramp
    ramp: tuple[RampStage, ...] = RAMP
    ramp_harm_below: float = 5.0
    guardrail_calm_below: float = 20.0  # also a condition of promotion

    # levels
    margin: float = 0.03  # non-inferiority: the canary may be this much worse, relatively
    alpha_harm: float = 0.01  # each of the two processes
    alpha_non_inferiority: float = 0.05
    alpha_guardrail: float = 0.005  # each
    alpha_sample_ratio: float = 0.001
    alpha_interval: float = 0.05  # of the confidence sequence that is shown

    # information the mixtures are tuned for, and at which the release ends undecided
    harm_information: float = 200.0
    non_inferiority_information: float = 9_000.0
    max_information: float = 13_400.0
    interval_information: float = 1_000.0  # where the interval that is shown is narrowest

    # minima
    min_stage_successes: int = 10  # in each arm, before a stage counts in the estimate
    min_stage_viewers: int = 30  # the same, effective ones, by requests and by successes
    min_canary_viewers: int = 100
    min_successes: int = 30

    # processes
    guardrails: tuple[Guardrail, ...] = GUARDRAILS
    ratio_smallest: float = 1.05  # the grid of rate ratios against the null ratio
    ratio_largest: float = 50.0
    ratio_points: int = 40
    first_success_requests: int = 5  # of a viewer that are at risk in the process of first successes
    guardrail_requests: int = 20  # and in each guardrail
    sample_ratio_concentration: float = 1_000.0
    sample_ratio_loss: float = 0.10  # of one arm's viewers: what is to be found soonest

    # variance reduction: x = (successes + cuped_successes) / (requests + cuped_requests) before the release
    cuped: bool = True
    cuped_successes: float = 0.9
    cuped_requests: float = 9.0

    on_inconclusive: OnInconclusive = "ask"

    def __post_init__(self) -> None:
        _check_fields(self)
        _check_durations(self)
        _check_ramp(self.ramp)
        _check_guardrails(self.guardrails)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each stage; stage 1 is the first."""
        return tuple(stage.share for stage in self.ramp)

    @property
    def horizon_ms(self) -> int:
        """How old a request is when its outcome is final and stored: W plus the ingest delay."""
        return self.window_ms + self.ingest_delay_ms

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ReleasePlan:
        """The plan of a JSON object; a field left out has its default.

        Raises:
            InvalidSettingError: an unknown field, a wrong type or a value out of range, by name.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        for name in value:
            check_known("plan", name, known)
        given: dict[str, Any] = dict(value)
        if "ramp" in given:
            given["ramp"] = _structs("ramp", RampStage, given["ramp"])
        if "guardrails" in given:
            given["guardrails"] = _structs("guardrails", Guardrail, given["guardrails"])
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        """The plan as a JSON object with every field, as it stands in the release's row."""
        plain = dataclasses.asdict(self)
        plain["ramp"] = list(plain["ramp"])
        plain["guardrails"] = list(plain["guardrails"])
        return plain


_PROBABILITIES: Final = (
    "margin",
    "alpha_harm",
    "alpha_non_inferiority",
    "alpha_guardrail",
    "alpha_sample_ratio",
    "sample_ratio_loss",
    "alpha_interval",
)
_ABOVE_ONE: Final = (
    "ramp_harm_below",
    "guardrail_calm_below",
    "ratio_smallest",
    "ratio_largest",
)
_AT_LEAST: Final[dict[str, int]] = {
    "window_ms": SECOND,
    "ingest_delay_ms": 0,
    "look_every_ms": SECOND,
    "min_duration_ms": SECOND,
    "max_duration_ms": SECOND,
    "main_only_after_ms": SECOND,
    "stale_after_ms": SECOND,
    "min_stage_successes": 2,
    "min_stage_viewers": 0,
    "min_canary_viewers": 2,
    "min_successes": 2,
    "ratio_points": 2,
    "first_success_requests": 1,
    "guardrail_requests": 1,
}
_MOST_RATIO_POINTS: Final = 10_000
_POSITIVE: Final = (
    "harm_information",
    "non_inferiority_information",
    "max_information",
    "interval_information",
    "sample_ratio_concentration",
    "cuped_successes",
    "cuped_requests",
)


def _refuse(field: str, value: object, needs: str) -> InvalidSettingError:
    return InvalidSettingError(f"plan: {field} is {value!r}, but {needs}")


def _number(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _refuse(field, value, "must be a finite number")
    return float(value)


def _whole(field: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**53:
        raise _refuse(field, value, f"must be a whole number of at least {least}")


def _check_fields(plan: ReleasePlan) -> None:
    for name in _PROBABILITIES:
        if not 0 < _number(name, getattr(plan, name)) < 1:
            raise _refuse(name, getattr(plan, name), "must lie between 0 and 1, both excluded")
    for name in _ABOVE_ONE:
        if not _number(name, getattr(plan, name)) > 1:
            raise _refuse(name, getattr(plan, name), "must be greater than 1")
    for name in _POSITIVE:
        if not _number(name, getattr(plan, name)) > 0:
            raise _refuse(name, getattr(plan, name), "must be greater than 0")
    for name, least in _AT_LEAST.items():
        _whole(name, getattr(plan, name), least)
    if plan.ratio_points > _MOST_RATIO_POINTS:
        raise _refuse("ratio_points", plan.ratio_points, f"must be at most {_MOST_RATIO_POINTS}")
    if not plan.ratio_smallest < plan.ratio_largest:
        raise _refuse("ratio_largest", plan.ratio_largest, f"ratio_smallest is {plan.ratio_smallest!r}")
    if not plan.cuped_successes < plan.cuped_requests:
        raise _refuse("cuped_successes", plan.cuped_successes, f"cuped_requests is {plan.cuped_requests!r}")
    if not isinstance(plan.cuped, bool):
        raise _refuse("cuped", plan.cuped, "must be true or false")
    if plan.on_inconclusive not in get_args(OnInconclusive):
        raise _refuse(
            "on_inconclusive", plan.on_inconclusive, f"must be one of {', '.join(get_args(OnInconclusive))}"
        )


def _check_durations(plan: ReleasePlan) -> None:
    if plan.min_duration_ms < plan.window_ms:
        raise _refuse(
            "min_duration_ms", plan.min_duration_ms, f"nothing matures before window_ms = {plan.window_ms}"
        )
    if plan.max_duration_ms <= plan.horizon_ms + plan.look_every_ms:
        raise _refuse(
            "max_duration_ms",
            plan.max_duration_ms,
            f"window, ingest delay and one look take {plan.horizon_ms + plan.look_every_ms}",
        )
    if plan.max_duration_ms < plan.min_duration_ms:
        raise _refuse("max_duration_ms", plan.max_duration_ms, f"min_duration_ms is {plan.min_duration_ms}")


def _check_ramp(ramp: tuple[RampStage, ...]) -> None:
    if not 1 <= len(ramp) <= 20:
        raise _refuse("ramp", len(ramp), "must have 1 to 20 stages")
    before = 0.0
    for number, stage in enumerate(ramp, 1):
        share = _number(f"ramp stage {number} share", stage.share)
        if not before < share < 1:
            raise _refuse(f"ramp stage {number} share", share, f"must lie between {before} and 1")
        _whole(f"ramp stage {number} canary_requests", stage.canary_requests, 0)
        before = share


def _check_guardrails(guardrails: tuple[Guardrail, ...]) -> None:
    names = [guardrail.name for guardrail in guardrails]
    if len(set(names)) != len(names) or len(names) > 15:
        raise _refuse("guardrails", names, "must be at most 15 different names")
    for guardrail in guardrails:
        if not isinstance(guardrail.name, str) or not guardrail.name:
            raise _refuse("guardrails name", guardrail.name, "must be a text")
        if not _number(f"guardrail {guardrail.name} ratio", guardrail.ratio) >= 1:
            raise _refuse(f"guardrail {guardrail.name} ratio", guardrail.ratio, "must be at least 1")


def check_known(what: str, name: object, known: set[str]) -> None:
    """Raises InvalidSettingError with the nearest name where `name` is none of those known."""
    if name not in known:
        near = difflib.get_close_matches(str(name), sorted(known), 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InvalidSettingError(f"{what}: unknown field {str(name)[:80]!r}{hint}")


def _structs(field: str, kind: type[Any], value: object) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _refuse(field, value, "must be a list of objects")
    made = []
    for entry in value:
        if not isinstance(entry, Mapping):
            raise _refuse(field, entry, f"each must be an object with {_names(kind)}")
        for name in entry:
            check_known(field, name, {known.name for known in dataclasses.fields(kind)})
        try:
            made.append(kind(**entry))
        except TypeError:
            raise _refuse(field, dict(entry), f"each must have {_names(kind)}") from None
    return tuple(made)


def _names(kind: type[Any]) -> str:
    return ", ".join(field.name for field in dataclasses.fields(kind))
