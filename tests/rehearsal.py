"""Plays the demo's audience in one process and in simulated time: same bundles, profiles, viewers and evaluation.

What it leaves out is HTTP, the event log and the processes; the end-to-end test has those.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.events import Interaction
from core.traffic import Arm, TrafficPlan, Upstream
from deploy.evaluation import LookResult, ReleasePlan, State, step
from deploy.outcomes import ExposureColumns, InteractionColumns, OutcomeState
from inference.recommender import Recommender, Request
from ingest.documents import profiles_after
from load_balancer.assignment import assign
from storage.interactions import LoggedInteraction
from storage.serving_store import Document
from understudy.demo.audience import Audience, Watched

MS_PER_VISIT = 8


@dataclass(slots=True)
class Rehearsal:
    """One release: `main` against `canary` before `audience`, until a verdict or the plan's end."""

    main: Recommender
    canary: Recommender
    audience: Audience
    plan: ReleasePlan
    seed: int
    now_ms: int
    profiles: dict[str, Document] = field(default_factory=dict)
    visits: int = 0
    offset: int = 0
    exposures: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    interactions: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))

    def verdict(self) -> LookResult:
        """Play rounds until a look decides; the plan's longest duration bounds it."""
        started_ms, stage = self.now_ms, 1
        outcomes, state = OutcomeState(self.plan, started_ms), State.begin(self.plan, started_ms)
        look_ms, rng = started_ms + self.plan.look_every_ms, np.random.default_rng(self.seed)
        while True:
            for index in rng.permutation(len(self.audience.viewers)):
                self._visit(self.audience.viewers[index], stage, rng)
                if self.now_ms < look_ms:
                    continue
                (look,) = outcomes.advance(*self._columns(), until_ms=look_ms)
                state, result = step(self.plan, state, look)
                if result.is_verdict:
                    return result
                stage = result.next_stage or stage
                look_ms += self.plan.look_every_ms

    def _visit(self, user_id: str, stage: int, rng: np.random.Generator) -> None:
        self.now_ms += MS_PER_VISIT
        self.visits += 1
        arm, request_id = self._arm(user_id, stage), f"r{self.visits}"
        model = self.canary if arm == "canary" else self.main
        answer = model.recommend(Request(user_id), self.profiles.get(user_id), None, self.now_ms)
        items = tuple(item.video_id for item in answer.items)
        self._remember_exposure(request_id, user_id, arm, stage, items)
        for watched in self.audience.look(user_id, items, rng):
            self._watch(user_id, request_id, watched)

    def _arm(self, user_id: str, stage: int) -> Arm:
        upstream = Upstream(version="v", bundle_digest="d", url="http://127.0.0.1:1")
        share = self.plan.shares[stage - 1]
        plan = TrafficPlan(
            epoch=1, created_ms=0, main=upstream, canary=upstream, share=share, salt=f"s{self.seed}"
        )
        return assign(plan, user_id)

    def _remember_exposure(
        self, request_id: str, user_id: str, arm: Arm, stage: int, items: tuple[str, ...]
    ) -> None:
        row = {
            "request_id": request_id, "user_id": user_id, "served_ms": self.now_ms, "arm_assigned": arm,
            "arm_served": arm, "stage": stage, "items": items, "forced": False, "outcome": "ok", "latency_ms": 1.0,
        }  # fmt: skip
        _append(self.exposures, row)

    def _watch(self, user_id: str, request_id: str, watched: Watched) -> None:
        self.offset += 1
        row = {
            "user_id": user_id, "video_id": watched.video_id, "event_type": "progress",
            "watch_percentage": watched.watch_percentage, "request_id": request_id, "received_ms": self.now_ms,
        }  # fmt: skip
        _append(self.interactions, row)
        event = Interaction(
            event_id=None, user_id=user_id, video_id=watched.video_id, event_type="progress",
            details={"watch_percentage": watched.watch_percentage}, occurred_ms=self.now_ms, received_ms=self.now_ms,
        )  # fmt: skip
        logged = LoggedInteraction("user_interactions", 0, self.offset, event)
        self.profiles.update(profiles_after(self.profiles, [logged]))

    def _columns(self) -> tuple[ExposureColumns, InteractionColumns]:
        """What came since the last look, handed over once."""
        taken = ExposureColumns(**self.exposures), InteractionColumns(**self.interactions)
        self.exposures, self.interactions = _emptied(self.exposures), _emptied(self.interactions)
        return taken


def _append(columns: dict[str, list[Any]], row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        columns[name].append(value)


def _emptied(columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    return {name: [] for name in columns}
