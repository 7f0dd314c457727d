"""Seeded simulations of whole releases, through the same kernel that decides on real ones.

Many releases run side by side as lanes of one tally. A world says how viewers behave; what comes back is
one row per release. Random numbers come from the seed alone.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from core.clock import HOUR
from deploy.evaluation.decision import Facts, decide
from deploy.evaluation.evidence import Floats
from deploy.evaluation.looks import Before, Bools, Ints, Matured, Served
from deploy.evaluation.measures import Constants, Measures, measure
from deploy.evaluation.plan import ReleasePlan
from deploy.evaluation.results import VERDICTS, Decision
from deploy.evaluation.tallies import Tally

LANE_VIEWERS_AT_ONCE = 1_000_000  # bounds the memory of a batch


@dataclass(frozen=True, slots=True)
class Incident:
    """Errors in both arms for some hours."""

    from_hour: float
    to_hour: float
    error_rate: float


@dataclass(frozen=True, slots=True)
class World:
    """How viewers, models and machines behave. Rates are per request; the day has one sine wave."""

    viewers: int = 50_000
    requests_per_viewer: float = 10.0  # over the plan's longest duration
    activity_sigma: float = 0.0  # log-normal spread of viewers' activity
    base_rate: float = 0.10
    icc: float = 0.10  # correlation of a viewer's outcomes (beta-distributed rates)
    effect: float = 1.0  # the canary's watch-through over main's
    effect_spread: float = 0.0  # standard deviation of that by viewer, relative
    swing: float = 0.4  # of the base rate over the day
    traffic_swing: float = 0.4
    phase: float = 0.0  # of the base rate's wave against that of traffic, in days
    error_rate: float = 0.005
    short_rate: float = 0.005
    error_ratio: float = 1.0  # the canary's over main's
    slow95_ratio: float = 1.0
    slow99_ratio: float = 1.0
    proneness_spread: float = 0.0  # of viewers to errors and slow answers: standard deviation over mean
    robots: int = 0  # viewers with a hundred times the activity who never watch and never fail
    always_failing: float = 0.0  # share of viewers whose every request fails, in either arm
    incident: Incident | None = None
    canary_down: float = 0.0  # share of each hour in which every canary request fails
    lost_canary_viewers: float = 0.0  # share of the canary's viewers who are never recorded
    moved_canary_viewers: float = 0.0  # share of the canary's viewers who are sent to main instead
    returning: float = 0.0  # share of viewers with a history, for CUPED
    lost_looks: float = 0.0  # share of looks whose rows are lost, in both arms


@dataclass(frozen=True, slots=True, eq=False)
class Releases:
    """What became of each simulated release, at its last look; one entry per release.

    `served` and `matured` count canary requests. `series` holds newly matured requests and successes by
    look, release, (requests, successes) and arm where it was asked for.
    """

    decision: list[Decision]
    fired: list[str]  # the process behind a roll-back
    hours: Floats
    served: Ints
    matured: Ints
    information: Floats
    theta: Floats
    series: Floats | None = None

    def share(self, decision: Decision) -> tuple[int, int]:
        """How many ended so, of how many."""
        return sum(one == decision for one in self.decision), len(self.decision)


@dataclass(frozen=True, slots=True)
class Job:
    """A batch of releases with its own random numbers, which some process runs."""

    plan: ReleasePlan
    world: World
    releases: int
    seed: np.random.SeedSequence
    stop: bool
    series: bool


# Runs each job and gives the results in their order: `map`, or the `map` of a pool of processes.
Each = Callable[[Callable[[Job], Releases], Iterable[Job]], Iterable[Releases]]


def simulate(
    plan: ReleasePlan,
    world: World,
    releases: int,
    seed: int,
    *,
    stop: bool = True,
    series: bool = False,
    each: Each = map,
) -> Releases:
    """Run releases from start to verdict.

    With `stop` false no verdict ends a release: the ramp goes on to the longest duration, as a study of the
    estimate needs it; guardrails and sample ratio, which it does not need, are left out. `each` runs the batches;
    who runs which of them changes no result.
    """
    at_once = max(1, min(releases, LANE_VIEWERS_AT_ONCE // world.viewers))
    seeds = np.random.SeedSequence(seed).spawn(math.ceil(releases / at_once))
    jobs = (
        Job(plan, world, min(at_once, releases - number * at_once), child, stop, series)
        for number, child in enumerate(seeds)
    )
    return _join(list(each(run_job, jobs)))


def run_job(job: Job) -> Releases:
    """The releases of one job."""
    random = np.random.default_rng(job.seed)
    return _Batch(job.plan, job.world, job.releases, random, job.stop, job.series).run()


@dataclass(slots=True, eq=False)
class _Requests:
    viewer: Ints
    stage: Ints
    canary: Bools
    succeeded: Bools


class _Batch:
    """Releases that run side by side; viewer v of lane l has the number l * viewers + v."""

    def __init__(
        self, plan: ReleasePlan, world: World, lanes: int, random: Generator, stop: bool, series: bool
    ) -> None:
        self.plan, self.world, self.lanes, self.random, self.stop = plan, world, lanes, random, stop
        self.constants = Constants.of(plan)
        # one lane alone would be free to grow; two keep the layout fixed
        self.tally = Tally(plan, max(lanes, 2), world.viewers)
        self.looks = plan.max_duration_ms // plan.look_every_ms
        self.lag = -(-plan.horizon_ms // plan.look_every_ms)  # looks until a request is final
        self.waiting: deque[_Requests] = deque()
        self.active = np.ones(lanes, np.bool_)
        self.stage = np.ones(lanes, np.int64)
        self.stage_since = np.zeros(lanes, np.int64)  # look number
        self.served = np.zeros(lanes, np.int64)
        self.decision: list[Decision] = ["continue"] * lanes
        self.fired = [""] * lanes
        self.ended: Floats = np.zeros((lanes, 4))  # hours, matured, information, theta
        self.series = np.zeros((self.looks, lanes, 2, 2)) if series else None
        self._draw_viewers()

    def _draw_viewers(self) -> None:
        world, random, total = self.world, self.random, self.lanes * self.world.viewers
        self.rate = _rates(random, world.base_rate, world.icc, total)
        self.bucket = random.random(total, np.float32)
        self.lift = np.full(total, world.effect, np.float32)
        if world.effect_spread:
            self.lift *= random.gamma(world.effect_spread**-2, world.effect_spread**2, total).astype(
                np.float32
            )
        self.proneness = _spread(random, world.proneness_spread, total)
        self.failing = random.random(total, np.float32) < world.always_failing
        self.lost = random.random(total, np.float32) < world.lost_canary_viewers
        self.moved = random.random(total, np.float32) < world.moved_canary_viewers
        activity = random.lognormal(0, world.activity_sigma, world.viewers)
        activity[: world.robots] *= 100
        robot = np.arange(total) % world.viewers < world.robots
        self.rate[robot] = self.proneness[robot] = 0
        self.activity = np.cumsum(activity)
        if world.returning:
            self._draw_history(total)

    def _draw_history(self, total: int) -> None:
        viewer = np.flatnonzero(self.random.random(total) < self.world.returning)
        requests = self.random.poisson(self.world.requests_per_viewer, viewer.size)
        successes = self.random.binomial(requests, self.rate[viewer])
        self.tally.add(Before(viewer, requests, successes), Matured(), Served())

    def run(self) -> Releases:
        for number in range(1, self.looks + 1):
            self._look(number)
            if not self.active.any():
                break
        return Releases(
            self.decision,
            self.fired,
            self.ended[:, 0],
            self.served,
            self.ended[:, 1].astype(np.int64),
            self.ended[:, 2],
            self.ended[:, 3],
            self.series,
        )

    def _look(self, number: int) -> None:
        lost = self.random.random() < self.world.lost_looks
        requests = self._draw_requests(number)
        served = self._served(requests, number) if self.stop and not lost else Served()
        matured = self._matured(requests, number)
        before = self.tally.sums[: self.lanes, :2].sum(2)
        self.tally.add(Before(), matured, served)
        if self.series is not None:
            self.series[number - 1] = self.tally.sums[: self.lanes, :2].sum(2) - before
        self._decide(number, measure(self.plan, self.constants, self.tally))

    def _draw_requests(self, number: int) -> _Requests:
        world, random = self.world, self.random
        day = (number - 0.5) * self.plan.look_every_ms / (24 * HOUR)
        mean = world.viewers * world.requests_per_viewer / self.looks * _wave(day, world.traffic_swing)
        lane = np.repeat(np.arange(self.lanes), random.poisson(mean, self.lanes) * self.active)
        viewer = lane * world.viewers + self._who(lane.size)
        canary = self.bucket[viewer] < np.array(self.plan.shares, np.float32)[self.stage[lane] - 1]
        canary &= ~self.moved[viewer]
        chance = self.rate[viewer] * np.float32(_wave(day + world.phase, world.swing))
        chance = np.where(canary, chance * self.lift[viewer], chance)
        succeeded = random.random(lane.size, np.float32) < chance
        self.served += np.bincount(lane[canary], minlength=self.lanes)
        recorded = ~(canary & self.lost[viewer])
        requests = _Requests(viewer, self.stage[lane], canary, succeeded)
        return requests if recorded.all() else _some(requests, recorded)

    def _who(self, count: int) -> Ints:
        if not self.world.activity_sigma and not self.world.robots:
            return self.random.integers(0, self.world.viewers, count, np.int64)
        drawn: Ints = np.searchsorted(self.activity, self.random.random(count) * self.activity[-1])
        return np.minimum(drawn, self.world.viewers - 1)

    def _served(self, rows: _Requests, number: int) -> Served:
        world, random = self.world, self.random
        size = rows.viewer.size
        hour = number * self.plan.look_every_ms / HOUR
        prone = self.proneness[rows.viewer]
        failing = world.error_rate * prone * np.where(rows.canary, world.error_ratio, 1.0)
        if world.incident and world.incident.from_hour <= hour < world.incident.to_hour:
            failing = np.maximum(failing, world.incident.error_rate)
        if hour % 1 < world.canary_down:
            failing = np.where(rows.canary, 1.0, failing)
        failing = np.where(self.failing[rows.viewer], 1.0, failing)
        luck, other, slowness = random.random((3, size), np.float32)
        threshold = self._thresholds(size)
        events = {
            "error": luck < failing,
            "fallback": luck < failing,
            "short": other < world.short_rate * prone,
            "p95": slowness < threshold[0] * prone * np.where(rows.canary, world.slow95_ratio, 1.0),
            "p99": slowness < threshold[1] * prone * np.where(rows.canary, world.slow99_ratio, 1.0),
        }
        return Served(
            rows.viewer,
            rows.stage,
            rows.canary,
            np.ones(size, np.int64),
            {name: happened.astype(np.int64) for name, happened in events.items()},
        )

    def _thresholds(self, size: int) -> Floats:
        """Chances to be slower than main's percentiles, which are estimated from one look."""
        seen = max(size / max(self.active.sum(), 1), 200.0)
        late = np.array([0.05, 0.01]) * seen
        return np.asarray(self.random.beta(late + 1, seen - late))

    def _matured(self, requests: _Requests, number: int) -> Matured:
        self.waiting.append(requests)
        if number <= self.lag:
            return Matured()
        rows = self.waiting.popleft()
        if not self.active.all():
            rows = _some(rows, self.active[rows.viewer // self.world.viewers])
        ones = np.ones(rows.viewer.size, np.int64)
        return Matured(rows.viewer, rows.stage, rows.canary, ones, rows.succeeded.astype(np.int64))

    def _decide(self, number: int, measures: Measures) -> None:
        sums = self.tally.sums[: self.lanes].sum(2)
        for lane in np.flatnonzero(self.active).tolist():
            facts = self._facts(lane, number, sums[lane], measures)
            decision = decide(self.plan, facts)
            if not self.stop and decision in VERDICTS and number < self.looks:
                decision = "step_ramp" if self._could_step(lane, facts) else "continue"
            if decision == "step_ramp":
                self.stage[lane] += 1
                self.stage_since[lane] = number
            elif decision in VERDICTS:
                self._end(lane, decision, facts, measures)

    def _could_step(self, lane: int, facts: Facts) -> bool:
        """The ramp by requests and time alone."""
        stage = self.plan.ramp[self.stage[lane] - 1]
        return (
            self.stage[lane] < len(self.plan.ramp)
            and facts.canary_requests >= stage.canary_requests
            and facts.in_stage_ms >= self.plan.window_ms
        )

    def _facts(self, lane: int, number: int, sums: Floats, measures: Measures) -> Facts:
        every = self.plan.look_every_ms
        return Facts(
            elapsed_ms=number * every,
            stage=int(self.stage[lane]),
            in_stage_ms=(number - int(self.stage_since[lane])) * every,
            canary_requests=int(sums[0, 1]),
            canary_viewers=int(self.tally.viewers[lane, 1]),
            canary_successes=int(sums[1, 1]),
            main_successes=int(sums[1, 0]),
            information=float(measures.estimate.information[lane]),
            log_harm=float(max(measures.harm_ratio[lane], measures.harm_first_success[lane])),
            log_non_inferiority=float(measures.non_inferiority[lane]),
            log_guardrails=tuple(measures.guardrails[lane].tolist()),
            log_sample_ratio=float(measures.sample_ratio[lane]),
            blind_ms=0,
            aborted=False,
        )

    def _end(self, lane: int, decision: Decision, facts: Facts, measures: Measures) -> None:
        self.active[lane] = False
        self.decision[lane] = decision
        self.fired[lane] = _what_fired(self.plan, lane, measures) if decision == "roll_back" else ""
        self.ended[lane] = (
            facts.elapsed_ms / HOUR,
            facts.canary_requests,
            facts.information,
            measures.estimate.theta[lane],
        )


def _what_fired(plan: ReleasePlan, lane: int, measures: Measures) -> str:
    names = ["harm_ratio", "harm_first_success", *(rail.name for rail in plan.guardrails)]
    levels = [plan.alpha_harm] * 2 + [plan.alpha_guardrail] * len(plan.guardrails)
    values = [measures.harm_ratio[lane], measures.harm_first_success[lane], *measures.guardrails[lane]]
    above = [value + math.log(level) for value, level in zip(values, levels, strict=True)]
    return names[int(np.argmax(above))]


def _rates(random: Generator, mean: float, icc: float, count: int) -> np.typing.NDArray[np.float32]:
    """Viewers' success rates: beta-distributed, so that two requests of a viewer correlate by `icc`."""
    if not icc:
        return np.full(count, mean, np.float32)
    strength = 1 / icc - 1
    return random.beta(mean * strength, (1 - mean) * strength, count).astype(np.float32)


def _spread(random: Generator, deviation: float, count: int) -> np.typing.NDArray[np.float32]:
    """Factors around 1 with a standard deviation, gamma-distributed."""
    if not deviation:
        return np.ones(count, np.float32)
    return random.gamma(deviation**-2, deviation**2, count).astype(np.float32)


def _wave(day: float, swing: float) -> float:
    return 1 + swing * math.sin(2 * math.pi * day)


def _some(rows: _Requests, chosen: Bools) -> _Requests:
    return _Requests(rows.viewer[chosen], rows.stage[chosen], rows.canary[chosen], rows.succeeded[chosen])


def _join(batches: list[Releases]) -> Releases:
    def together(name: str) -> Any:
        return np.concatenate([getattr(batch, name) for batch in batches])

    return Releases(
        decision=[decision for batch in batches for decision in batch.decision],
        fired=[name for batch in batches for name in batch.fired],
        hours=together("hours"),
        served=together("served"),
        matured=together("matured"),
        information=together("information"),
        theta=together("theta"),
        series=np.concatenate([batch.series for batch in batches if batch.series is not None], axis=1)
        if batches[0].series is not None
        else None,
    )
