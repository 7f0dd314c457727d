"""F41: error rates and delays of whole simulated releases: the short form of `make simulate-evaluation`.

The world is smaller than the one of docs/online-evaluation.md (4,000 viewers, base rate 0.2) and looks are a
quarter of an hour apart; ramp, day and night, returning viewers and every process are there. Seeds are fixed.
Each rate is asserted by its exact upper limit (Clopper and Pearson, 95%).
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import pytest

from core.clock import MINUTE
from deploy.evaluation import RampStage, ReleasePlan
from deploy.evaluation.figures import at_least, at_most, caught
from deploy.evaluation.simulation import Incident, Releases, World, simulate

PLAN = ReleasePlan(
    look_every_ms=15 * MINUTE, ramp=(RampStage(0.05, 150), RampStage(0.2, 1_000), RampStage(0.5))
)
WORLD = World(viewers=4_000, base_rate=0.2)


@pytest.fixture(scope="module")
def identical() -> Releases:
    return simulate(PLAN, WORLD, 1_000, 11)


def test_an_identical_model_is_rolled_back_in_at_most_five_percent(identical: Releases) -> None:
    figure = at_most("identical rolled back", identical, "roll_back", 0.05)
    assert figure.met, figure.measured


def test_a_healthy_ramp_raises_no_sample_ratio_alarm(identical: Releases) -> None:
    figure = at_most("false alarms", identical, "invalid", 0.005)
    assert figure.met, figure.measured


@pytest.mark.parametrize(
    "world",
    [
        replace(WORLD, icc=0.3, activity_sigma=2.5, robots=10, proneness_spread=2.0),
        replace(WORLD, always_failing=0.002, incident=Incident(10, 11, 0.5), lost_looks=0.05),
    ],
    ids=["viewers very different, very uneven, and robots", "failing viewers, an incident, lost looks"],
)
def test_an_identical_model_is_safe_in_a_hard_world(world: World) -> None:
    figure = at_most("identical rolled back", simulate(PLAN, world, 400, 12), "roll_back", 0.05)
    assert figure.met, figure.measured


def test_a_model_three_percent_worse_is_promoted_in_at_most_five_percent() -> None:
    figure = at_most(
        "3% worse promoted", simulate(PLAN, replace(WORLD, effect=0.97), 400, 13), "promote", 0.05
    )
    assert figure.met, figure.measured


def test_a_model_twenty_percent_worse_is_never_promoted_and_soon_rolled_back() -> None:
    worse = simulate(PLAN, replace(WORLD, effect=0.8), 400, 14)
    assert worse.share("promote")[0] == 0
    figure = caught("20% worse", worse, worse.matured, 90, 8_500)
    assert figure.met, figure.measured


def test_a_canary_that_nobody_watches_is_rolled_back_at_once() -> None:
    nobody = simulate(PLAN, replace(WORLD, effect=0.0), 400, 15)
    figure = caught("nobody watches", nobody, nobody.matured, 90, 150)
    assert figure.met, figure.measured
    assert set(nobody.fired) == {"harm_first_success"}


def test_ten_times_the_errors_are_found_by_the_guardrail() -> None:
    failing = simulate(PLAN, replace(WORLD, icc=0.0, error_rate=0.005, error_ratio=10.0), 400, 16)
    figure = caught("errors", failing, failing.served, 90, 2_000)
    assert figure.met, figure.measured
    assert failing.fired.count("error") > 380


def test_a_canary_that_is_down_half_the_time_is_rolled_back() -> None:
    assert simulate(PLAN, replace(WORLD, canary_down=0.5), 400, 17).share("roll_back") == (400, 400)


def test_a_much_better_model_is_promoted_at_the_first_moment_allowed() -> None:
    better = simulate(PLAN, replace(WORLD, effect=1.3), 400, 18)
    promoted, of = better.share("promote")
    figure = at_least("30% better promoted", promoted, of, 0.99)
    assert figure.met, figure.measured
    assert np.median(better.hours) == 24


def test_processes_change_no_result() -> None:
    many = World(viewers=500_000, requests_per_viewer=0.02, base_rate=0.4, effect=0.5)  # two lanes a batch
    plan = replace(PLAN, look_every_ms=90 * MINUTE)
    alone = simulate(plan, many, 5, 19)
    with ProcessPoolExecutor(2) as pool:
        together = simulate(plan, many, 5, 19, each=pool.map)
    np.testing.assert_equal(asdict(together), asdict(alone))
