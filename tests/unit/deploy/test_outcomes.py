"""Outcomes: what matures when, what is credited to which request, and what does not matter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import HOUR, MINUTE, SECOND
from deploy.evaluation import Look, RampStage, ReleasePlan, evaluate
from deploy.outcomes import ExposureColumns, InteractionColumns, OutcomeState, history, looks

START = 1_700_000_000_000
PLAN = ReleasePlan(
    window_ms=20 * MINUTE,
    ingest_delay_ms=MINUTE,
    look_every_ms=5 * MINUTE,
    min_duration_ms=HOUR,
    max_duration_ms=2 * HOUR,
    ramp=(RampStage(0.5),),
)


@dataclass(frozen=True)
class Shown:
    """One exposure; times in seconds after the start."""

    request_id: str
    at_s: float
    items: tuple[str, ...] = ("v1", "v2")
    user_id: str = "ann"
    arm: str = "main"
    stage: int = 1
    forced: bool = False
    outcome: str = "ok"
    latency_ms: float = 10.0
    arm_served: str = ""


@dataclass(frozen=True)
class Did:
    """One event; times in seconds after the start."""

    at_s: float
    video_id: str = "v1"
    user_id: str = "ann"
    event_type: str = "progress"
    watched: float | None = 80.0
    request_id: str | None = None
    event_id: str | None = None


def exposures(rows: Sequence[Shown]) -> ExposureColumns:
    return ExposureColumns(
        request_id=[row.request_id for row in rows],
        user_id=[row.user_id for row in rows],
        served_ms=[START + round(row.at_s * SECOND) for row in rows],
        arm_assigned=[row.arm for row in rows],
        stage=[row.stage for row in rows],
        items=[json.dumps(row.items) for row in rows],
        forced=[row.forced for row in rows],
        outcome=[row.outcome for row in rows],
        latency_ms=[row.latency_ms for row in rows],
        arm_served=[row.arm_served or row.arm for row in rows],
    )


def interactions(rows: Sequence[Did]) -> InteractionColumns:
    return InteractionColumns(
        user_id=[row.user_id for row in rows],
        video_id=[row.video_id for row in rows],
        event_type=[row.event_type for row in rows],
        watch_percentage=[row.watched for row in rows],
        request_id=[row.request_id for row in rows],
        received_ms=[START + round(row.at_s * SECOND) for row in rows],
        event_id=[row.event_id for row in rows],
    )


def looked(shown: Sequence[Shown], did: Sequence[Did] = (), until_s: float = 3600) -> list[Look]:
    until_ms = START + round(until_s * SECOND)
    return list(looks(PLAN, exposures(shown), interactions(did), START, until_ms))


def outcome(shown: Sequence[Shown], did: Sequence[Did]) -> list[tuple[int, int]]:
    """Requests and successes of each look that has any."""
    made = [(int(one.matured.requests.sum()), int(one.matured.successes.sum())) for one in looked(shown, did)]
    return [pair for pair in made if pair[0]]


@pytest.mark.parametrize(
    ("did", "success"),
    [
        (Did(60), 1),
        (Did(60, watched=50.0), 1),
        (Did(60, watched=49.9), 0),
        (Did(60, watched=None), 0),
        (Did(60, event_type="complete", watched=None), 1),
        (Did(60, event_type="view", watched=None), 0),
        (Did(60, video_id="v9"), 0),  # not shown
        (Did(60, video_id="v"), 0),  # only the beginning of an id that was shown
        (Did(60, user_id="bob"), 0),
        (Did(9), 0),  # before the request
        (Did(10), 1),
        (Did(10 + 20 * 60), 1),  # the window's last moment
        (Did(10.001 + 20 * 60), 0),
        (Did(60, request_id="r1"), 1),
        (Did(60, request_id="r9"), 0),  # names another request: never the history's
        (Did(60, request_id="r1", user_id="bob"), 0),
        (Did(60, request_id="r1", video_id="v9"), 0),
        (Did(10.001 + 20 * 60, request_id="r1"), 0),
    ],
)
def test_success_of_one_request(did: Did, success: int) -> None:
    assert outcome([Shown("r1", 10)], [did]) == [(1, success)]


def successes_by_request(shown: Sequence[Shown], did: Sequence[Did]) -> list[int]:
    """In order of time."""
    return [int(y) for one in looked(shown, did) for y in one.matured.successes]


def test_without_a_request_id_the_latest_request_that_showed_the_video_is_credited() -> None:
    shown = [Shown("r1", 10), Shown("r2", 20, items=("v3",)), Shown("r3", 30), Shown("r4", 40, user_id="bob")]
    assert successes_by_request(shown, [Did(35)]) == [0, 0, 1, 0]
    assert successes_by_request(shown, [Did(25)]) == [1, 0, 0, 0]
    assert successes_by_request(shown, [Did(60, video_id="v3")]) == [0, 1, 0, 0]
    assert successes_by_request(shown, [Did(60, request_id="r1")]) == [1, 0, 0, 0]


def test_an_earlier_request_is_not_credited_past_the_window() -> None:
    shown = [Shown("r1", 0, items=("v3",)), Shown("r2", 900)]
    assert successes_by_request(shown, [Did(1300, video_id="v3")]) == [0, 0]


def test_several_events_make_one_success() -> None:
    assert outcome([Shown("r1", 10)], [Did(20), Did(30), Did(40, video_id="v2")]) == [(1, 1)]


def test_events_of_one_id_count_once_and_the_first_received_counts() -> None:
    shown = [Shown("r1", 10, items=("v1",)), Shown("r2", 11, items=("v2",))]
    did = [Did(30, video_id="v2", event_id="e"), Did(20, video_id="v1", event_id="e")]
    assert successes_by_request(shown, did) == [1, 0]


def test_an_exposure_that_came_twice_counts_once() -> None:
    assert outcome([Shown("r1", 10), Shown("r1", 10)], [Did(20)]) == [(1, 1)]


def test_forced_requests_and_those_outside_the_ramp_are_left_out_but_keep_their_events() -> None:
    shown = [Shown("r1", 10), Shown("r2", 20, forced=True), Shown("r3", 30, stage=0)]
    assert outcome(shown, [Did(25)]) == [(1, 0)]  # watched because of the forced one
    assert outcome(shown, [Did(15)]) == [(1, 1)]


def test_a_request_enters_once_it_is_final_and_the_guardrails_see_it_earlier() -> None:
    made = looked([Shown("r1", 0)], until_s=3600)
    assert [round((one.at_ms - START) / MINUTE) for one in made if one.matured.viewer.size] == [25]
    assert [round((one.at_ms - START) / MINUTE) for one in made if one.served.viewer.size] == [5]


def test_looks_lie_on_the_grid_and_end_when_due() -> None:
    made = looked([Shown("r1", 0)], until_s=16 * 60)
    assert [one.at_ms - START for one in made] == [5 * MINUTE, 10 * MINUTE, 15 * MINUTE]


def test_what_is_exposed_after_the_last_look_is_left_out() -> None:
    made = looked([Shown("r1", 10), Shown("r2", 14.5 * 60)], until_s=15 * 60)
    assert sum(int(one.served.requests.sum()) for one in made) == 1


def guardrail_events(made: Sequence[Look], name: str) -> int:
    return sum(int(one.served.events[name].sum()) for one in made if name in one.served.events)


def test_guardrail_events_come_from_the_outcome_of_the_assigned_arm() -> None:
    made = looked(
        [
            Shown("r1", 1),
            Shown("r2", 2, outcome="error", arm="canary", arm_served="main"),
            Shown("r3", 3, outcome="timeout", arm="canary", arm_served="canary"),
            Shown("r4", 4, outcome="short"),
        ]
    )
    assert [guardrail_events(made, name) for name in ("error", "fallback", "short")] == [1, 2, 1]


def test_latency_thresholds_come_from_main_in_the_look_before() -> None:
    first = [Shown(f"a{i}", i / 10, latency_ms=float(i)) for i in range(1000)]
    second = [
        Shown(f"b{i}", 300 + i, arm="canary", latency_ms=latency)
        for i, latency in enumerate((900.0, 960.0, 995.0))
    ]
    made = looked(first + second)
    assert "p95" not in made[0].served.events
    assert (guardrail_events(made, "p95"), guardrail_events(made, "p99")) == (2, 1)


def test_silence_makes_a_look_blind() -> None:
    made = looked([Shown(f"r{i}", 60 * i) for i in range(10)], until_s=30 * 60)
    blind = [round(one.blind_ms / MINUTE) for one in made]
    assert blind == [0, 0, 0, 0, 15, 20]


Batches = list[tuple[list[Shown], list[Did], float]]


def advanced(batches: Batches) -> list[Look]:
    state = OutcomeState(PLAN, START)
    made = []
    for shown, did, until_s in batches:
        made += state.advance(exposures(shown), interactions(did), START + round(until_s * SECOND))
    assert state.late == 0
    return made


def drawn(seed: int) -> tuple[list[Shown], list[Did]]:
    """An hour of eight viewers; some times are equal, some events name their request."""
    random = np.random.default_rng(seed)
    shown = [
        Shown(
            f"r{i:03d}",
            float(random.integers(0, 360)) * 10,
            tuple(f"v{j}" for j in random.choice(12, 4, replace=False)),
            f"u{random.integers(0, 8)}",
            "canary" if random.random() < 0.5 else "main",
            forced=bool(random.random() < 0.1),
            latency_ms=float(random.integers(1, 100)),
        )
        for i in range(150)
    ]
    did = [
        Did(
            one.at_s + float(random.integers(0, 1500)),
            str(random.choice(one.items)),
            one.user_id,
            request_id=one.request_id if random.random() < 0.5 else None,
            event_id=f"e{i}",
        )
        for i, one in enumerate(shown)
        if random.random() < 0.7
    ]
    return shown, did


def naive_successes(shown: list[Shown], did: list[Did]) -> set[str]:
    """The rule in a loop."""
    found = set()
    for event in did:
        earlier = [one for one in shown if one.user_id == event.user_id and one.at_s <= event.at_s]
        showed = [one for one in earlier if event.video_id in one.items]
        if event.request_id is not None:
            showed = [one for one in showed if one.request_id == event.request_id]
        latest = max(showed, key=lambda one: (one.at_s, one.request_id), default=None)
        if latest and event.at_s - latest.at_s <= 20 * 60:
            found.add(latest.request_id)
    return found


def rows_of(made: Sequence[Look]) -> list[tuple[Any, ...]]:
    return [
        (one.at_ms, one.matured.requests.size, int(one.matured.successes.sum()), one.served.requests.size)
        for one in made
    ]


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_crediting_is_the_rule_and_batches_and_order_do_not_matter(seed: int) -> None:
    shown, did = drawn(seed)
    whole = looked(shown, did, until_s=7200)
    counted = {one.request_id for one in shown if not one.forced}
    assert sum(int(one.matured.successes.sum()) for one in whole) == len(
        naive_successes(shown, did) & counted
    )
    random = np.random.default_rng(seed)
    mixed = looked(
        [shown[i] for i in random.permutation(len(shown))],
        [did[i] for i in random.permutation(len(did))],
        until_s=7200,
    )
    cuts = [0.0, 700.0, 1500.0, 1501.0, 3300.0, 7200.0]
    parts: Batches = [
        (
            [one for one in shown if before <= one.at_s < until],
            [one for one in did if before <= one.at_s < until],
            until,
        )
        for before, until in pairwise(cuts)
    ]
    stepped = advanced(parts)
    assert rows_of(mixed) == rows_of(whole) == rows_of(stepped)
    assert evaluate(PLAN, whole) == evaluate(PLAN, mixed) == evaluate(PLAN, stepped)


def test_an_exposure_after_its_look_is_counted_as_late() -> None:
    state = OutcomeState(PLAN, START)
    state.advance(exposures([Shown("r1", 10)]), interactions([]), START + 10 * MINUTE)
    state.advance(exposures([Shown("r2", 20), Shown("r3", 700)]), interactions([]), START + 20 * MINUTE)
    assert state.late == 1


def test_history_counts_what_matured_before_the_release() -> None:
    shown = [Shown("r1", -9000), Shown("r2", -8000), Shown("r3", -60), Shown("r4", -7000, user_id="bob")]
    did = [Did(-8990), Did(-30)]
    assert history(PLAN, exposures(shown), interactions(did), START) == {"ann": (2, 1), "bob": (1, 0)}


def test_history_reaches_the_kernel_when_a_viewer_appears() -> None:
    state = OutcomeState(PLAN, START, {"ann": (4, 1), "zoe": (9, 9)})
    shown = [Shown("r1", 10, user_id="bob"), Shown("r2", 20), Shown("r3", 400)]
    made = state.advance(exposures(shown), interactions([]), START + 10 * MINUTE)
    assert [one.before.requests.tolist() for one in made] == [[4], []]
    assert made[0].before.viewer.tolist() == [made[0].served.viewer[1]]
