"""Copies to a shadow: as many as its share says, compared and counted, and never waited for."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from core.recommend_query import RecommendQuery
from core.traffic import Shadow, TrafficPlan, Upstream
from load_balancer.answers import Shown
from load_balancer.metrics import ShadowMetrics
from load_balancer.shadow import MOST, ShadowPlayer
from tests.fake_arm import FakeArm

QUERY = RecommendQuery("u1", count=3)
MAIN = Upstream(version="v1", bundle_digest="d1", url="http://127.0.0.1:1")


def shown(*videos: str) -> Shown:
    return Shown(videos, False, b"")


class Play:
    """A player, the candidate behind it, and what is counted."""

    def __init__(self, url: str, share: float, attempt_s: float) -> None:
        self.registry = CollectorRegistry()
        self.player = ShadowPlayer(ShadowMetrics(self.registry), attempt_s, random.Random(1))
        upstream = Upstream(version="v2", bundle_digest="d2", url=url)
        self.plan = TrafficPlan(
            epoch=1, created_ms=0, main=MAIN, shadow=Shadow(upstream=upstream, share=share)
        )

    def offer(self, query: RecommendQuery = QUERY, answer: Shown | None = None) -> None:
        self.player.offer(self.plan, query, "r1", answer or shown("v2-0", "v2-2", "v2-1"))

    def copies(self, outcome: str) -> float:
        return self.value("understudy_shadow_total", outcome=outcome)

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def play(
    use: Callable[[Play, FakeArm], Awaitable[None]],
    *,
    mode: str = "ok",
    share: float = 1.0,
    attempt_s: float = 5.0,
) -> None:
    async def run() -> None:
        candidate = FakeArm("v2", mode)
        await use(made := Play(await candidate.start(), share, attempt_s), candidate)
        made.player.close()
        await candidate.stop()

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def test_an_answer_is_compared_and_counted() -> None:
    async def use(made: Play, candidate: FakeArm) -> None:
        made.offer()
        await until(lambda: made.copies("ok") == 1)
        assert made.value("understudy_shadow_overlap_sum") == 1
        assert made.value("understudy_shadow_order_sum") == pytest.approx(2 / 3)
        assert made.value("understudy_shadow_seconds_count") == 1
        assert candidate.requests == [QUERY.target()]

    play(use)


@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        ("error500", "error"),
        ("garbage", "error"),
        ("refuse", "error"),
        ("wrong_version", "error"),
        ("short", "short"),
    ],
)
def test_what_it_does_wrong_is_counted(mode: str, outcome: str) -> None:
    async def use(made: Play, _: FakeArm) -> None:
        made.offer()
        await until(lambda: made.copies(outcome) == 1)

    play(use, mode=mode)


def test_a_candidate_that_hangs_is_asked_no_more_than_it_may_hold_and_holds_up_nobody() -> None:
    async def use(made: Play, candidate: FakeArm) -> None:
        for _ in range(MOST + 10):
            made.offer()  # returns at once: nothing here has yet given the loop a turn
        assert made.copies("left_out") == 10
        await until(lambda: made.player.on_their_way == 0)
        assert made.copies("timeout") == MOST
        candidate.mode = "ok"
        while not made.copies("ok"):  # the first may be late again, on a machine that is busy
            made.offer()
            await until(lambda: made.player.on_their_way == 0)

    play(use, mode="hang", attempt_s=0.5)


def test_its_share_of_the_requests_is_copied() -> None:
    async def use(made: Play, candidate: FakeArm) -> None:
        for _ in range(50):
            for _ in range(8):
                made.offer()
            await until(lambda: made.player.on_their_way == 0)
        assert 60 < made.copies("ok") < 140
        assert made.copies("left_out") == 0

    play(use, share=0.25)


def test_what_cannot_be_compared_is_not_copied() -> None:
    async def use(made: Play, candidate: FakeArm) -> None:
        made.offer(RecommendQuery("u1", count=3, after="r0"))
        made.player.offer(made.plan, QUERY, "r1", None)
        made.player.offer(TrafficPlan(epoch=2, created_ms=0, main=MAIN), QUERY, "r1", shown("a"))
        made.offer()
        await until(lambda: made.copies("ok") == 1)
        assert len(candidate.requests) == 1

    play(use)


def test_a_candidate_without_an_address_is_left_out() -> None:
    async def use(made: Play, _: FakeArm) -> None:
        made.plan = Play("nowhere", 1.0, 1.0).plan
        made.offer()
        assert made.copies("left_out") == 1

    play(use)
