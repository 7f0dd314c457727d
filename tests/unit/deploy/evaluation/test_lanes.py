"""Releases side by side in one tally come out as each alone: so the simulator measures the kernel itself."""

from __future__ import annotations

import numpy as np

from core.clock import HOUR
from deploy.evaluation import Before, Matured, RampStage, ReleasePlan, Served
from deploy.evaluation.measures import Constants, Measures, measure
from deploy.evaluation.simulation import World, simulate
from deploy.evaluation.tallies import Tally

PLAN = ReleasePlan(ramp=(RampStage(0.2, 50), RampStage(0.5)), min_stage_viewers=10)
VIEWERS = 60

Looks = list[tuple[Before, Matured, Served]]


def drawn(seed: int) -> Looks:
    random = np.random.default_rng(seed)
    made = []
    for number in range(12):
        viewer, stage = random.integers(0, VIEWERS, 80), np.full(80, 1 + number // 6)
        canary, ones = viewer % 5 < 2 * stage, np.ones(80, np.int64)
        events = {name: (random.random(80) < 0.05).astype(np.int64) for name in ("error", "p95")}
        success = (random.random(80) < 0.3).astype(np.int64)
        who = np.unique(viewer)
        done = Before(who, who % 9, who % 9 // 3)
        made.append(
            (done, Matured(viewer, stage, canary, ones, success), Served(viewer, stage, canary, ones, events))
        )
    return made


def laid_end_to_end(releases: list[Looks], number: int) -> tuple[Before, Matured, Served]:
    befores, matureds, serveds = zip(*(looks[number] for looks in releases), strict=True)
    shifts = [VIEWERS * lane for lane in range(len(releases))]

    def joined(rows: tuple[object, ...], name: str) -> np.ndarray:
        columns = [getattr(one, name) for one in rows]
        if name == "viewer":
            columns = [column + shift for column, shift in zip(columns, shifts, strict=True)]
        return np.concatenate(columns)

    names = ("viewer", "stage", "canary", "requests")
    events = {name: np.concatenate([one.events[name] for one in serveds]) for name in serveds[0].events}
    return (
        Before(*(joined(befores, name) for name in ("viewer", "requests", "successes"))),
        Matured(*(joined(matureds, name) for name in (*names, "successes"))),
        Served(*(joined(serveds, name) for name in names), events),
    )


def numbers(measures: Measures, lane: int) -> list[float]:
    parts = (
        measures.estimate.theta,
        measures.estimate.information,
        measures.estimate.beta,
        measures.harm_ratio,
        measures.harm_first_success,
        measures.non_inferiority,
        measures.sample_ratio,
    )
    return [*(float(part[lane]) for part in parts), *measures.guardrails[lane].tolist()]


def test_lanes_do_not_touch_each_other() -> None:
    releases = [drawn(seed) for seed in (1, 2, 3)]
    constants, together = Constants.of(PLAN), Tally(PLAN, 3, VIEWERS)
    for number in range(12):
        together.add(*laid_end_to_end(releases, number))
    for lane, looks in enumerate(releases):
        alone = Tally(PLAN)
        for look in looks:
            alone.add(*look)
        expected = numbers(measure(PLAN, constants, alone), 0)
        assert numbers(measure(PLAN, constants, together), lane) == expected
        assert expected[1] > 0
        assert together.viewers[lane].tolist() == alone.viewers[0].tolist()


def test_simulated_releases_come_from_the_seed() -> None:
    plan = ReleasePlan(
        ramp=(RampStage(0.2, 100), RampStage(0.5)),
        look_every_ms=HOUR // 2,
        min_duration_ms=6 * HOUR,
        max_duration_ms=12 * HOUR,
    )
    world = World(viewers=500, effect=0.0, base_rate=0.3)
    first, again, other = (simulate(plan, world, 3, seed) for seed in (5, 5, 6))
    assert first.decision == ["roll_back"] * 3
    assert first.theta.tolist() == again.theta.tolist()
    assert first.served.tolist() == again.served.tolist()
    assert first.served.tolist() != other.served.tolist()
