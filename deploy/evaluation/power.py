"""The power calculator: how long a verdict takes on this traffic, and what the plan cannot decide.

The ramp is walked as the plan says, with the traffic spread evenly over the day. Information then grows as

    sum over stages of p / (1 - p) N s (1 - s), divided by 1 + (m - 1) ICC,

N the stage's matured requests, s its share, p the base rate, m how many requests of the same viewer stand around
an average request. Given information, theta times information is a Brownian motion with drift theta, so verdicts
are found by letting seeded paths of it meet the plan's own e-values. Left out: CUPED (it only helps), guardrails
and the process on first successes (they only find harm sooner), and that suspicion of harm holds the ramp.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.clock import DAY
from core.errors import InvalidInputError
from deploy.evaluation.evidence import Floats, log_normal_mixture
from deploy.evaluation.looks import Bools
from deploy.evaluation.measures import Constants
from deploy.evaluation.plan import ReleasePlan

POWER = 0.8  # a plan can decide what it decides in so many releases
EFFECTS = (0.05, 0.0, -0.05, -0.20)
_PATHS = 800
_MOST_POINTS = 300
_SEED = 7
_MOST = 1e15  # viewers, requests or milliseconds; beyond, squares leave the floats


@dataclass(frozen=True, slots=True)
class Traffic:
    """What viewers do.

    `clustering`: how many requests of the same viewer, itself included, stand around an average request within
    `over_ms` (sum of n^2 / sum of n); `viewers`: how many different ones came within `over_ms`. `correlation` is
    that of the outcomes of two requests of one viewer (ICC).

    Raises:
        InvalidInputError: a value out of range, by name.
    """

    viewers_a_day: float
    requests_a_day: float
    base_rate: float
    correlation: float
    clustering: float
    viewers: float
    over_ms: int = DAY

    def __post_init__(self) -> None:
        for name in ("viewers_a_day", "requests_a_day", "viewers", "over_ms"):
            _check(name, getattr(self, name), above=0, most=_MOST)
        _check("clustering", self.clustering, least=1)
        _check("base_rate", self.base_rate, above=0, below=1)
        _check("correlation", self.correlation, least=0, most=1)

    @classmethod
    def of(
        cls, viewers_a_day: float, requests_per_viewer: float, base_rate: float, correlation: float
    ) -> Traffic:
        """Traffic from four numbers, cautiously: the same viewers come every day."""
        requests = viewers_a_day * requests_per_viewer
        clustering = max(requests_per_viewer, 1.0)
        return cls(viewers_a_day, requests, base_rate, correlation, clustering, viewers_a_day)

    def scaled(self, factor: float) -> Traffic:
        """The same with `factor` times the viewers."""
        return dataclasses.replace(
            self,
            viewers_a_day=self.viewers_a_day * factor,
            requests_a_day=self.requests_a_day * factor,
            viewers=self.viewers * factor,
        )

    def viewers_within(self, elapsed_ms: Floats) -> Floats:
        """How many different viewers come within a time."""
        later = max(self.over_ms - DAY, 1)
        more = (self.viewers - self.viewers_a_day) * np.maximum(elapsed_ms - DAY, 0) / later
        found: Floats = self.viewers_a_day * np.minimum(elapsed_ms / DAY, 1) + np.maximum(more, 0)
        return found

    def variance_factor(self, elapsed_ms: Floats) -> Floats:
        """How much more variance there is than with independent requests."""
        factor: Floats = 1 + (self.clustering - 1) * elapsed_ms / self.over_ms * self.correlation
        return factor


@dataclass(frozen=True, slots=True)
class Course:
    """How a release goes that nothing stops; one entry per look in each array."""

    elapsed_ms: Floats
    share: Floats
    canary_requests: Floats  # matured
    canary_viewers: Floats
    information: Floats


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a version whose watch-through is `effect` (relative) above main's.

    `promoted`, `rolled_back` and `undecided` are parts of all releases; the times and viewers are those of its
    more frequent verdict, None where there is hardly any.
    """

    effect: float
    promoted: float
    rolled_back: float
    undecided: float
    median_ms: int | None
    p90_ms: int | None
    canary_viewers: int | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan can decide on given traffic.

    `can_tell`: whether a loss of `loss` can be told from none. `smallest_loss`: the smallest that is rolled back
    in 80% of releases, None: not even the loss of everything. `viewers_needed`: so many a day promote an equal
    version in 80%, None: no number does within the plan's planned information.
    """

    traffic: Traffic
    duration_ms: int
    information: float
    outcomes: tuple[Outcome, ...]
    loss: float
    can_tell: bool
    smallest_loss: float | None
    viewers_needed: float | None


def forecast(plan: ReleasePlan, traffic: Traffic, loss: float = 0.05) -> Forecast:
    """What becomes of versions of several qualities under this plan and traffic; the same at every call.

    Raises:
        InvalidInputError: `loss` is no part of 1.
    """
    _check("loss", loss, above=0, below=1)
    course = walk(plan, traffic)
    outcomes = tuple(_outcome(plan, course, effect) for effect in sorted({*EFFECTS, -loss}, reverse=True))
    by_effect = {outcome.effect: outcome for outcome in outcomes}
    equal, worse = by_effect[0.0], by_effect[-loss]
    return Forecast(
        traffic=traffic,
        duration_ms=plan.max_duration_ms,
        information=float(course.information[-1]),
        outcomes=outcomes,
        loss=loss,
        can_tell=max(equal.promoted, worse.rolled_back) >= POWER,
        smallest_loss=_smallest_loss(plan, course),
        viewers_needed=_viewers_needed(plan, traffic, equal),
    )


def walk(plan: ReleasePlan, traffic: Traffic) -> Course:
    """The ramp as far as it gets within the plan's longest duration, with one step of time per look."""
    every = plan.look_every_ms
    elapsed = np.arange(every, plan.max_duration_ms + 1, every, dtype=np.float64)
    each = traffic.requests_a_day / DAY * every
    late = -(-plan.horizon_ms // every)  # looks until a request has matured
    stage, since, played = 0, 0, list[int]()
    matured, weight = [0.0], [0.0]
    for look in range(elapsed.size):
        played.append(stage)
        if look >= late:
            part = plan.ramp[played[look - late]].share
            matured.append(matured[-1] + each * part)
            weight.append(weight[-1] + each * part * (1 - part))
        else:
            matured.append(0.0)
            weight.append(0.0)
        enough = stage + 1 < len(plan.ramp) and matured[-1] >= plan.ramp[stage].canary_requests
        if enough and (look - since) * every >= plan.window_ms:
            stage, since = stage + 1, look
    share: Floats = np.array(plan.shares, np.float64)[played]
    rate = traffic.base_rate
    information = rate / (1 - rate) * np.array(weight[1:]) / traffic.variance_factor(elapsed)
    return Course(
        elapsed_ms=elapsed,
        share=share,
        canary_requests=np.array(matured[1:]),
        canary_viewers=share * traffic.viewers_within(elapsed),
        information=np.maximum.accumulate(information),
    )


def _outcome(plan: ReleasePlan, course: Course, effect: float) -> Outcome:
    promoted, rolled_back, look = _verdicts(plan, course, effect)
    shares = float(promoted.mean()), float(rolled_back.mean())
    main_verdict = promoted if shares[0] >= shares[1] else rolled_back
    known = main_verdict.sum() > 0.05 * _PATHS
    when = course.elapsed_ms[look[main_verdict]] if known else None
    return Outcome(
        effect=effect,
        promoted=shares[0],
        rolled_back=shares[1],
        undecided=round(1 - shares[0] - shares[1], 3),
        median_ms=None if when is None else int(np.median(when)),
        p90_ms=None if when is None else int(np.percentile(when, 90)),
        canary_viewers=None if when is None else int(np.median(course.canary_viewers[look[main_verdict]])),
    )


def _verdicts(plan: ReleasePlan, course: Course, effect: float) -> tuple[Bools, Bools, NDArray[np.int64]]:
    """For each path: promoted, rolled back, and the look (its index) of the verdict."""
    theta, constants = math.log1p(effect), Constants.of(plan)
    at = _points(course)
    information = course.information[at]
    noise = np.random.default_rng(_SEED).standard_normal((_PATHS, information.size))
    gained = np.diff(information, prepend=0.0)
    score = theta * information + np.cumsum(noise * np.sqrt(gained), axis=1)
    harm = log_normal_mixture(-score, information, constants.harm_rho) >= -math.log(plan.alpha_harm)
    proven = log_normal_mixture(
        score + constants.margin * information, information, constants.non_inferiority_rho
    ) >= -math.log(plan.alpha_non_inferiority)
    proven &= _may_promote(plan, course)[at]
    over = (course.elapsed_ms >= plan.min_duration_ms) & (course.information >= plan.max_information)
    over[-1] = True
    first = (harm | proven | over[at]).argmax(axis=1)
    rows = np.arange(_PATHS)
    rolled_back = harm[rows, first]
    return proven[rows, first] & ~rolled_back, rolled_back, at[first]


def _may_promote(plan: ReleasePlan, course: Course) -> Bools:
    """The minima of promotion; that of successes comes long before the evidence."""
    may: Bools = (course.elapsed_ms >= plan.min_duration_ms) & (
        course.canary_viewers >= plan.min_canary_viewers
    )
    return may


def _points(course: Course) -> NDArray[np.int64]:
    """Looks to decide at: all, or as many evenly spaced ones as make no difference, and the last."""
    looks = course.elapsed_ms.size
    return np.unique(np.linspace(0, looks - 1, min(looks, _MOST_POINTS)).round().astype(np.int64))


def _smallest_loss(plan: ReleasePlan, course: Course) -> float | None:
    def found(loss: float) -> bool:
        return bool(_verdicts(plan, course, -loss)[1].mean() >= POWER)

    return _first_that_holds(found, 0.001, 0.999, steps=8)


def _viewers_needed(plan: ReleasePlan, traffic: Traffic, equal: Outcome) -> float | None:
    if equal.promoted >= POWER:
        return traffic.viewers_a_day

    def enough(factor: float) -> bool:
        course = walk(plan, traffic.scaled(factor))
        return bool(_verdicts(plan, course, 0.0)[0].mean() >= POWER)

    factor = _first_that_holds(enough, 1.0, 10_000.0, steps=8)
    return None if factor is None else float(math.ceil(factor * traffic.viewers_a_day))


def _first_that_holds(holds: Callable[[float], bool], low: float, high: float, steps: int) -> float | None:
    """About where a condition that is easier for larger values begins to hold, on a logarithmic scale."""
    if not holds(high):
        return None
    for _ in range(steps):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _check(
    name: str,
    value: float,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> None:
    wrong: Sequence[bool] = (
        not math.isfinite(value),
        above is not None and value <= above,
        least is not None and value < least,
        below is not None and value >= below,
        most is not None and value > most,
    )
    if any(wrong):
        raise InvalidInputError(f"{name.replace('_', ' ')} is {value!r}, which is out of range")
