"""The figures that the design promises, each measured by simulation beside its bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import betaincinv

from core.clock import DAY
from deploy.evaluation.comparison import (
    at_least_as_good,
    below_threshold,
    different_when_pooled,
    not_worse_by_mann_whitney,
    worse_by_peeking,
    worse_by_z_test,
)
from deploy.evaluation.evidence import Floats
from deploy.evaluation.kept import Kept
from deploy.evaluation.looks import Bools, Ints
from deploy.evaluation.plan import RampStage, ReleasePlan
from deploy.evaluation.results import Decision
from deploy.evaluation.simulation import Each, Incident, Releases, World, simulate

PLAN = ReleasePlan()
WORLD = World()
STEADY = replace(PLAN, ramp=(RampStage(0.10),), max_duration_ms=DAY)
# 4,000 new viewers an hour in the first four hours; of 4,068 requests an hour, 68 are by viewers who come again.
NEWCOMERS = World(viewers=480_000, requests_per_viewer=0.2034, traffic_swing=0.0)
NEVER = 10**12

# Worlds that an identical model must survive: the error rates are promised for each. A tenth of the viewers, and of
# the requests that a step of the ramp takes, so that these releases, too, see every stage.
SMALL = replace(
    PLAN,
    ramp=tuple(replace(stage, canary_requests=stage.canary_requests // 10) for stage in PLAN.ramp),
)
HARD_WORLDS: dict[str, World] = {
    "base rate 0.02": World(viewers=5_000, base_rate=0.02),
    "base rate 0.4": World(viewers=5_000, base_rate=0.4),
    "viewers independent (ICC 0)": World(viewers=5_000, icc=0.0),
    "viewers very different (ICC 0.3)": World(viewers=5_000, icc=0.3),
    "few viewers, 40 requests each": World(viewers=2_500, requests_per_viewer=40.0),
    "very uneven activity": World(viewers=5_000, activity_sigma=1.5),
    "extremely uneven activity, ICC 0.3": World(viewers=5_000, activity_sigma=2.5, icc=0.3),
    "25 robots that never watch": World(viewers=5_000, robots=25),
    "some viewers have most of the errors and slow answers": World(viewers=5_000, proneness_spread=2.0),
    "no day and night": World(viewers=5_000, swing=0.0, traffic_swing=0.0),
    "rate and traffic in opposite phase": World(viewers=5_000, phase=0.5),
    "the canary helps some and harms others": World(viewers=5_000, effect_spread=0.3),
    "0.1% of viewers always fail": World(viewers=5_000, always_failing=0.001),
    "an hour of errors in both arms": World(viewers=5_000, incident=Incident(20, 21, 0.5)),
    "errors common (5%)": World(viewers=5_000, error_rate=0.05),
    "one look in twenty lost": World(viewers=5_000, lost_looks=0.05),
    "viewers with a history (CUPED)": World(viewers=5_000, returning=0.8),
}
HARD_FOR_PROMOTION = ("base rate 0.4", "viewers very different (ICC 0.3)", "very uneven activity")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `met` says whether the measured value keeps the bound."""

    what: str
    bound: str
    measured: str
    met: bool


def upper_limit(hits: int, of: int, level: float = 0.95) -> float:
    """Clopper and Pearson's exact one-sided upper limit of a rate."""
    return 1.0 if hits >= of else float(betaincinv(hits + 1, of - hits, level))


def lower_limit(hits: int, of: int, level: float = 0.95) -> float:
    """Clopper and Pearson's exact one-sided lower limit of a rate."""
    return 0.0 if hits <= 0 else float(betaincinv(hits, of - hits + 1, 1 - level))


def at_most(what: str, releases: Releases, decision: Decision, bound: float) -> Figure:
    """The rate of a decision, its upper limit below the bound."""
    return at_most_of(what, *releases.share(decision), bound)


def at_most_of(what: str, hits: int, of: int, bound: float) -> Figure:
    """A rate of something bad, its upper limit below the bound."""
    limit = upper_limit(hits, of)
    measured = f"{hits} of {of} ({hits / of:.2%}; upper limit {limit:.2%})"
    return Figure(what, f"<= {bound:.1%}", measured, limit <= bound)


def at_least(what: str, hits: int, of: int, bound: float) -> Figure:
    """A rate of something good, its estimate at least the bound."""
    measured = f"{hits} of {of} ({hits / of:.1%}; lower limit {lower_limit(hits, of):.1%})"
    return Figure(what, f">= {bound:.0%}", measured, hits / of >= bound)


def caught(what: str, releases: Releases, counted: Ints, quantile: int, bound: int) -> Figure:
    """A quantile of canary requests until roll-back; a release not rolled back counts as never."""
    until = np.where([decision == "roll_back" for decision in releases.decision], counted, NEVER)
    value = int(np.percentile(until, quantile, method="higher"))
    name = "median" if quantile == 50 else f"p{quantile}"
    measured = "never" if value == NEVER else f"{value:,}"
    return Figure(what, f"{name} <= {bound:,}", f"{name} {measured} of {len(until)} releases", value <= bound)


class Studies:
    """The simulations that figures are read from, each run once.

    `scale` multiplies the releases of each, `each` runs batches as in `simulate`, `kept` remembers what was run.
    """

    def __init__(self, scale: float = 1.0, each: Each = map, kept: Kept | None = None) -> None:
        self._scale = scale
        self._each = each
        self._kept = kept or Kept(None)

    def run(self, releases: int, seed: int, world: World = WORLD, plan: ReleasePlan = PLAN) -> Releases:
        """Releases from start to verdict."""
        return self._simulate(plan, world, releases, seed, whole=False)

    def whole(self, releases: int, seed: int, world: World = WORLD, plan: ReleasePlan = PLAN) -> Releases:
        """Releases that no verdict ends, with their series of counts."""
        return self._simulate(plan, world, releases, seed, whole=True)

    def _simulate(self, plan: ReleasePlan, world: World, releases: int, seed: int, whole: bool) -> Releases:
        count = max(4, round(self._scale * releases))

        def run() -> Releases:
            return simulate(plan, world, count, seed, stop=not whole, series=whole, each=self._each)

        return self._kept.get((plan, world, count, seed, whole), run)

    @cached_property
    def identical(self) -> Releases:
        return self.run(1_000, 101)

    @cached_property
    def five_percent_worse(self) -> Releases:
        return self.run(1_200, 302, replace(WORLD, effect=0.95))

    @cached_property
    def identical_to_the_end(self) -> Releases:
        return self.whole(400, 601)


def all_figures(studies: Studies) -> Iterator[Figure]:
    """Every figure, in the order of the table."""
    for study in (_identical, _worse, _caught, _better, _estimate, _sample_ratio, _hard_worlds):
        yield from study(studies)


def _identical(studies: Studies) -> Iterator[Figure]:
    same = studies.identical
    yield at_most("identical models rolled back, all tests together", same, "roll_back", 0.05)
    # At a base rate of 0.4 a request tells six times as much: half of the time is left when the ramp is over.
    promoted, of = studies.run(1_000, 102, replace(WORLD, base_rate=0.4)).share("promote")
    yield at_least("identical promoted by information 13,400", promoted, of, 0.8)


def _worse(studies: Studies) -> Iterator[Figure]:
    little = studies.run(600, 301, replace(WORLD, effect=0.97))
    yield at_most("3% worse promoted", little, "promote", 0.05)
    yield at_most("5% worse promoted", studies.five_percent_worse, "promote", 0.005)


def _caught(studies: Studies) -> Iterator[Figure]:
    worse = studies.run(1_000, 401, replace(WORLD, effect=0.8))
    promoted, of = worse.share("promote")
    yield Figure("20% worse promoted", "0 in 1,000", f"{promoted} of {of}", promoted == 0)
    yield caught("20% worse caught, matured canary requests", worse, worse.matured, 50, 5_000)
    yield caught("20% worse caught, matured canary requests", worse, worse.matured, 90, 8_500)
    nobody = studies.run(400, 402, replace(WORLD, effect=0.0))
    yield caught(
        "nobody watches the canary's videos, matured canary requests", nobody, nobody.matured, 90, 150
    )
    half = studies.run(400, 403, replace(WORLD, effect=0.5))
    yield caught("50% worse caught, matured canary requests", half, half.matured, 90, 1_300)
    failing = studies.run(400, 404, replace(WORLD, icc=0.0, error_rate=0.001, error_ratio=10.0))
    yield caught("error rate times 10 caught, canary requests", failing, failing.served, 90, 2_000)
    slow = studies.run(400, 405, replace(WORLD, slow99_ratio=2.0))
    yield caught("share slower than main's p99 doubled, canary requests", slow, slow.served, 90, 9_000)


def _better(studies: Studies) -> Iterator[Figure]:
    better = studies.run(1_000, 501, replace(WORLD, effect=1.05))
    promoted = np.array([decision == "promote" for decision in better.decision])
    early = int((promoted & (better.matured <= 65_000)).sum())
    yield at_least("5% better promoted by 65,000 matured canary requests", early, promoted.size, 0.9)
    yield at_least("5% better promoted by the end", int(promoted.sum()), promoted.size, 0.99)


def _estimate(studies: Studies) -> Iterator[Figure]:
    same = studies.identical_to_the_end
    bias, error = float(same.theta.mean()), float(same.theta.std() / np.sqrt(same.theta.size))
    measured = f"{bias:+.3%} (standard error {error:.3%}, {same.theta.size} releases)"
    yield Figure("bias of the stratified estimate, identical models", "<= 0.2%", measured, abs(bias) <= 0.002)
    spread = float((same.theta * np.sqrt(same.information)).std())
    measured = f"{spread:.3f} ({same.theta.size} releases)"
    yield Figure(
        "spread of the estimate over its standard error", "0.9 to 1.1", measured, 0.9 <= spread <= 1.1
    )


def _sample_ratio(studies: Studies) -> Iterator[Figure]:
    moved = studies.run(600, 701, replace(NEWCOMERS, moved_canary_viewers=0.1), STEADY)
    yield _found("10% of the canary's viewers go to main instead", moved, 4.0)
    lost = studies.run(600, 702, replace(NEWCOMERS, lost_canary_viewers=0.1), STEADY)
    yield _found("10% of the canary's viewers are never recorded", lost, 4.0)


def _found(what: str, releases: Releases, bound: float) -> Figure:
    hours = np.where([decision == "invalid" for decision in releases.decision], releases.hours, np.inf)
    median, most = np.percentile(hours, [50, 90], method="higher")
    measured = f"median {median:.1f} h, p90 {most:.1f} h of {hours.size} releases"
    return Figure(f"sample ratio: {what}", f"within {bound:g} h", measured, bool(median <= bound))


def _hard_worlds(studies: Studies) -> Iterator[Figure]:
    alarms, of = studies.identical.share("invalid")
    for number, (name, world) in enumerate(HARD_WORLDS.items()):
        same = studies.run(400, 201 + number, world, SMALL)
        yield at_most(f"identical rolled back: {name}", same, "roll_back", 0.05)
        more, among = same.share("invalid")
        alarms, of = alarms + more, of + among
    yield at_most_of("sample-ratio false alarms, identical models in every world", alarms, of, 0.005)
    for number, name in enumerate(HARD_FOR_PROMOTION):
        worse = studies.run(400, 311 + number, replace(HARD_WORLDS[name], effect=0.97), SMALL)
        yield at_most(f"3% worse promoted: {name}", worse, "promote", 0.05)


@dataclass(frozen=True, slots=True)
class Rule:
    """How often a rule decides so, on identical models and on a canary 5% worse."""

    rule: str
    decides: str
    identical: float
    worse: float


def other_rules(studies: Studies) -> list[Rule]:
    """Rules of other tools on the same releases at a steady 10%; pooling, and this evaluation, on the ramp."""
    world = replace(WORLD, requests_per_viewer=WORLD.requests_per_viewer / 3)
    steady = [studies.whole(400, 801, replace(world, effect=effect), STEADY) for effect in (1.0, 0.95)]
    pairs: dict[tuple[str, str], Callable[[Floats], Bools]] = {
        ("canary at least as good as main after 12 h", "promotes"): lambda x: at_least_as_good(x, 144),
        ("Mann-Whitney on five-minute points, 12 h", "promotes"): lambda x: not_worse_by_mann_whitney(x, 144),
        ("one z test after 24 h, requests as units", "rolls back"): lambda x: worse_by_z_test(x, 288),
        ("the same test at every look", "rolls back"): lambda x: worse_by_peeking(x, 288),
        ("the last hour's watch-through below 0.09", "rolls back"): lambda x: below_threshold(x, 0.09),
    }
    rules = [
        Rule(rule, decides, *(_mean(decide(_series(releases))) for releases in steady))
        for (rule, decides), decide in pairs.items()
    ]
    ramps = [studies.identical_to_the_end, studies.whole(100, 802, replace(WORLD, effect=0.95))]
    pooled = [_mean(different_when_pooled(_series(releases))) for releases in ramps]
    rules.append(Rule("counts pooled over the ramp, z test at the end", "sees a difference", *pooled))
    ours: list[tuple[str, Decision]] = [("promotes", "promote"), ("rolls back", "roll_back")]
    for decides, decision in ours:
        both = (studies.identical, studies.five_percent_worse)
        rules.append(Rule("this evaluation", decides, *(_rate(releases, decision) for releases in both)))
    return rules


def _series(releases: Releases) -> Floats:
    return np.zeros((0, 0, 2, 2)) if releases.series is None else releases.series


def _mean(holds: Bools) -> float:
    return float(holds.mean())


def _rate(releases: Releases, decision: Decision) -> float:
    hits, of = releases.share(decision)
    return hits / of
