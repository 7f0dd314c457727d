"""Who answers when an arm does not, and what is recorded of the assigned one."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

import pytest

from core.recommend_query import RecommendQuery
from core.traffic import Arm, TrafficPlan, Upstream
from load_balancer.arms import Arms
from load_balancer.circuit import PROBES
from load_balancer.proxy import Deadlines, Proxy, Served
from tests.fake_arm import FakeArm

QUERY = RecommendQuery("u1", count=3)


@dataclass
class Stage:
    main: FakeArm
    canary: FakeArm
    proxy: Proxy
    plan: TrafficPlan
    arms: Arms

    async def ask(self, assigned: Arm = "canary", query: RecommendQuery = QUERY) -> Served:
        return await self.proxy.serve(self.plan, assigned, query, "r1")


def on_stage(
    use: Callable[[Stage], Awaitable[None]],
    *,
    main: str = "ok",
    canary: str = "ok",
    fallback: tuple[str, ...] = (),
    attempt_s: float = 1.0,
    request_s: float = 2.0,
) -> None:
    async def run() -> None:
        arms = FakeArm("v1", main), FakeArm("v2", canary)
        urls = [await arm.start() for arm in arms]
        plan = TrafficPlan(
            epoch=1,
            created_ms=0,
            main=Upstream(version="v1", bundle_digest="d1", url=urls[0]),
            canary=Upstream(version="v2", bundle_digest="d2", url=urls[1]),
            fallback=fallback,
        )
        pools = Arms(8)
        await use(Stage(*arms, Proxy(pools, Deadlines(attempt_s, request_s), random.Random(1)), plan, pools))
        pools.close()
        for arm in arms:
            await arm.stop()

    asyncio.run(run())


def test_the_assigned_arm_answers_and_the_other_is_not_asked() -> None:
    async def use(stage: Stage) -> None:
        served = await stage.ask()
        assert (served.arm, served.assigned.outcome) == ("canary", "ok")
        assert served.answer is not None
        assert json.loads(served.answer.body)["version"] == "v2"
        assert served.assigned.latency_ms > 0
        assert stage.main.requests == []

    on_stage(use)


@pytest.mark.parametrize(
    "mode", ["error500", "garbage", "empty", "duplicate", "too_many", "bad_id", "wrong_version", "wrong_request",
             "not_http", "close", "truncated", "chunked"]
)  # fmt: skip
def test_the_other_arm_answers_and_the_error_is_the_assigned_arms(mode: str) -> None:
    async def use(stage: Stage) -> None:
        served = await stage.ask()
        assert (served.arm, served.assigned.outcome) == ("main", "error")
        assert served.answer is not None
        assert json.loads(served.answer.body)["version"] == "v1"

    on_stage(use, canary=mode)


def test_a_slow_arm_is_a_timeout() -> None:
    async def use(stage: Stage) -> None:
        served = await stage.ask()
        assert (served.arm, served.assigned.outcome) == ("main", "timeout")
        assert 50 <= served.assigned.latency_ms < 500

    on_stage(use, canary="hang", attempt_s=0.05)


def test_main_may_fall_back_to_the_canary() -> None:
    async def use(stage: Stage) -> None:
        assert (await stage.ask("main")).arm == "canary"

    on_stage(use, main="error500")


def test_fewer_videos_than_asked_for_are_shown_and_recorded_as_short() -> None:
    async def use(stage: Stage) -> None:
        served = await stage.ask()
        assert (served.arm, served.assigned.outcome) == ("canary", "short")

    on_stage(use, canary="short")


def test_with_both_gone_the_static_list_answers() -> None:
    async def use(stage: Stage) -> None:
        served = await stage.ask()
        assert (served.arm, served.assigned.outcome) == ("static", "error")
        assert served.answer is not None
        assert served.answer.video_ids == ("t1", "t2", "t3")

    on_stage(use, main="close", canary="error500", fallback=("t1", "t2", "t3", "t4"))


def test_with_nothing_left_nobody_answers() -> None:
    async def use(stage: Stage) -> None:
        served = await stage.ask()
        assert (served.arm, served.answer) == ("none", None)

    on_stage(use, main="close", canary="close")


def test_the_request_deadline_bounds_both_attempts() -> None:
    async def use(stage: Stage) -> None:
        async with asyncio.timeout(1):
            served = await stage.ask()
        assert (served.arm, served.assigned.outcome) == ("none", "timeout")

    on_stage(use, main="hang", canary="hang", attempt_s=0.1, request_s=0.15)


def test_a_failing_arm_is_left_out_but_its_error_is_still_recorded() -> None:
    async def use(stage: Stage) -> None:
        for _ in range(20):
            served = await stage.ask()
            assert (served.arm, served.assigned.outcome) == ("main", "error")
        assert len(stage.canary.requests) < 10

    on_stage(use, canary="error500")


@pytest.mark.parametrize("mode", ["empty", "error500"])
def test_what_no_arm_can_answer_is_held_against_none(mode: str) -> None:
    # Else one viewer of main whom nobody can serve has a canary of few requests left out, and rolled back for it.
    async def use(stage: Stage) -> None:
        served = [await stage.ask(arm) for _ in range(20) for arm in ("main", "canary")]
        assert {(one.arm, one.assigned.outcome) for one in served} == {("static", "error")}
        stage.main.mode = stage.canary.mode = "ok"
        assert [(await stage.ask(arm)).arm for arm in ("main", "canary")] == ["main", "canary"]

    on_stage(use, main=mode, canary=mode, fallback=("t1",))


def test_arms_that_are_both_gone_are_both_left_out() -> None:
    async def use(stage: Stage) -> None:
        for _ in range(20):
            assert (await stage.ask()).arm == "static"
        weights = [server.circuit.weight(monotonic()) for server in stage.arms.of(stage.plan).values()]
        assert max(weights) < 1

    on_stage(use, main="close", canary="close", fallback=("t1",))


def test_arms_that_come_back_at_the_same_time_keep_their_viewers() -> None:
    # As after a moment in which nobody heard the probes: both are well, and neither is better than the other.
    async def use(stage: Stage) -> None:
        come_back(stage, "main", "canary")
        assert {(await stage.ask("main")).arm for _ in range(50)} == {"main"}
        assert {(await stage.ask("canary")).arm for _ in range(50)} == {"canary"}

    on_stage(use)


def test_an_arm_that_comes_back_slowly_answers_where_the_other_cannot() -> None:
    async def use(stage: Stage) -> None:
        come_back(stage, "canary")
        stage.main.mode = "refuse"  # its answers fail, and it stays in
        served = [await stage.ask() for _ in range(3)]
        assert {(one.arm, one.assigned.outcome) for one in served} == {("canary", "ok")}
        assert len(stage.main.requests) > 0

    on_stage(use, fallback=("t1",))


def come_back(stage: Stage, *arms: Arm) -> None:
    """Let these arms be found not ready, and ready again just now."""
    now = monotonic()
    for arm in arms:
        circuit = stage.arms.of(stage.plan)[arm].circuit
        for answered in (*[False] * PROBES, True):
            circuit.probed(answered=answered, now=now)


def test_a_wrong_request_is_nobodys_fault() -> None:
    async def use(stage: Stage) -> None:
        for _ in range(20):
            served = await stage.ask(query=RecommendQuery("u1", count=3, genre="nonsense"))
            assert served.refusal is not None
            assert (served.refusal.status, str(served.refusal)) == (400, "the genre is unknown")
        assert (await stage.ask()).arm == "canary"

    on_stage(use, main="genre400", canary="genre400", fallback=("t1",))


def test_a_page_after_a_request_that_no_arm_knows_is_404_and_nobodys_fault() -> None:
    async def use(stage: Stage) -> None:
        for _ in range(20):
            served = await stage.ask(query=RecommendQuery("u1", count=3, after="gone"))
            assert (served.answer, served.assigned.outcome) == (None, "error")
            assert served.refusal is not None
            assert served.refusal.status == 404
        stage.canary.mode = "ok"
        assert (await stage.ask()).arm == "canary"

    on_stage(use, canary="unknown404", main="unknown404", fallback=("t1",))


def test_an_arm_that_alone_refuses_has_failed() -> None:
    async def use(stage: Stage) -> None:
        served = await stage.ask()
        assert (served.arm, served.assigned.outcome, served.refusal) == ("main", "error", None)

    on_stage(use, canary="refuse")


def test_requests_are_built_from_checked_values() -> None:
    query = RecommendQuery("u1", 3, ("a", "b"), "Film-Noir & more", "c", explain=True)

    async def use(stage: Stage) -> None:
        await stage.ask(query=query)
        assert stage.canary.requests == [
            "/recommend/u1?count=3&exclude=a&exclude=b&genre=Film-Noir%20%26%20more&context_video=c&explain=1"
        ]
        assert "X-Understudy-Request-Id: r1\r\n" in stage.canary.heads[0]

    on_stage(use)


def test_more_than_an_arm_may_have_at_once_is_turned_away_without_blaming_it() -> None:
    async def use(stage: Stage) -> None:
        served = await asyncio.gather(*(stage.ask() for _ in range(60)))
        assert Counter(one.arm for one in served) == {"canary": 8, "main": 8, "static": 44}
        assert (await stage.ask()).arm == "canary"

    on_stage(use, fallback=("t1",))


def test_a_new_plan_keeps_what_stays_and_lets_go_what_leaves() -> None:
    async def use(stage: Stage) -> None:
        await stage.ask("main")
        await stage.ask("canary")
        alone = TrafficPlan(epoch=2, created_ms=1, main=stage.plan.main)
        served = await stage.proxy.serve(alone, "main", QUERY, "r1")
        assert served.arm == "main"
        assert stage.main.connections == 1

    on_stage(use)
