"""Search, similar and trending: main answers, else the canary, else the static list; refusals keep their words."""

import asyncio
import json
from collections.abc import MutableMapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from core.lookup_query import LookupQuery
from core.traffic import Arm, TrafficPlan, Upstream
from load_balancer.arms import Arms
from load_balancer.circuit import PROBES
from load_balancer.connection import Response, UpstreamError
from load_balancer.http import ProblemError
from load_balancer.lookups import Lookups, read_listing, static_listing
from load_balancer.metrics import BalancerMetrics
from load_balancer.plans import PlanPoller
from load_balancer.proxy import Deadlines
from tests.fake_arm import FakeArm

SEARCH = LookupQuery("search", 2, text="x")
TRENDING = LookupQuery("trending", 2, exclude=("t2",))


class Told(NamedTuple):
    status: int
    document: dict[str, Any]
    main: FakeArm
    canary: FakeArm
    registry: CollectorRegistry


def ask(
    target: str,
    main: str = "ok",
    canary: str = "ok",
    *,
    method: str = "GET",
    plan: bool = True,
    unready: Sequence[Arm] = (),
) -> Told:
    """One request against two fake arms that behave so; probes found those of `unready` not ready."""
    registry = CollectorRegistry()
    arms = FakeArm("v1", main), FakeArm("v2", canary)
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("no body is read")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def run() -> tuple[int, bytes]:
        urls = [await arm.start() for arm in arms]
        upstreams = [
            Upstream(version=arm.version, bundle_digest="d", url=url)
            for arm, url in zip(arms, urls, strict=True)
        ]
        published = TrafficPlan(
            epoch=1, created_ms=0, main=upstreams[0], canary=upstreams[1], fallback=("t1", "t2", "t3")
        )
        plans = PlanPoller(lambda: published if plan else None, 60)
        plans.poll()
        pools = Arms(8)
        for arm_name in unready:
            for _ in range(PROBES):
                pools.of(published)[arm_name].circuit.probed(answered=False, now=monotonic())
        path, _, query = target.partition("?")
        scope = {"method": method, "path": path, "query_string": query.encode()}
        try:
            await Lookups(plans, pools, Deadlines(0.2, 0.5), BalancerMetrics(registry))(scope, receive, send)
            answer = 200, bytes(sent[1]["body"])
        except ProblemError as error:
            answer = error.status, error.body
        pools.close()
        for arm in arms:
            await arm.stop()
        return answer

    status, body = asyncio.run(run())
    return Told(status, json.loads(body), *arms, registry)


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("/search?q=a%20%26%20b&count=2", "/search?count=2&q=a%20%26%20b"),
        ("/trending?count=2&genre=War", "/trending?count=2&genre=War"),
        ("/videos/m1/similar?count=2&exclude=m3", "/videos/m1/similar?count=2&exclude=m3"),
    ],
)
def test_main_is_asked_for_what_was_checked(target: str, asked: str) -> None:
    told = ask(target)
    assert told.status == 200
    assert (told.document["arm"], told.document["version"]) == ("main", "v1")
    assert [item["video_id"] for item in told.document["items"]] == ["v1-0", "v1-1"]
    assert told.document["items"][0].keys() == {"video_id", "score"}
    assert (told.main.requests, told.canary.requests) == ([asked], [])
    labels = {"lookup": target.strip("/").split("?")[0].split("/")[-1], "arm_served": "main"}
    assert told.registry.get_sample_value("understudy_lookups_total", labels) == 1


@pytest.mark.parametrize(
    "mode", ["error500", "garbage", "duplicate", "bad_id", "wrong_version", "close", "hang"]
)
def test_the_canary_answers_where_main_cannot(mode: str) -> None:
    told = ask("/search?q=x&count=2", main=mode)
    assert (told.status, told.document["arm"], told.document["version"]) == (200, "canary", "v2")


def test_an_arm_that_is_not_ready_is_asked_where_nobody_else_answers() -> None:
    told = ask("/trending?count=2", main="hang", unready=["main"])
    assert (told.document["arm"], told.main.requests) == ("canary", [])
    assert ask("/trending?count=2", canary="close", unready=["main"]).document["arm"] == "main"
    assert ask("/trending?count=2", unready=["main", "canary"]).document["arm"] == "main"


def test_a_canary_that_knows_more_answers() -> None:
    assert ask("/videos/new/similar", main="unknown404").document["arm"] == "canary"
    assert ask("/search?q=x", main="no_encoder").document["arm"] == "canary"


def test_a_refusal_keeps_its_status_and_words() -> None:
    told = ask("/videos/new/similar", "unknown404", "unknown404")
    assert (told.status, told.document["detail"]) == (404, "the video is unknown")
    told = ask("/search?q=x", "no_encoder", "no_encoder")
    assert (told.status, told.document["detail"]) == (503, "there is no text search here")
    assert told.registry.get_sample_value(
        "understudy_lookups_total", {"lookup": "search", "arm_served": "none"}
    ) == 1  # fmt: skip
    assert ask("/trending?genre=x", "refuse", "hang").status == 400


def test_with_both_gone_trending_is_the_static_list_and_the_others_are_503() -> None:
    told = ask("/trending?count=2&exclude=t2", "close", "error500")
    assert (told.status, told.document["arm"], told.document["degraded"]) == (200, "static", True)
    assert [item["video_id"] for item in told.document["items"]] == ["t1", "t3"]
    assert ask("/search?q=x", "close", "error500").status == 503
    assert ask("/trending?genre=War", "close", "close").status == 503


def test_wrong_requests_reach_nobody() -> None:
    for target in (
        "/search",
        "/search?q=%00",
        "/search?q=x&user=1",
        "/trending?count=0",
        "/videos/a b/similar",
    ):
        told = ask(target)
        assert told.status == 400, target
        assert told.main.requests == []
    assert ask("/trending", method="POST").status == 405
    assert ask("/trending", plan=False).status == 503


def test_nothing_may_be_trending_but_no_list_is_too_long() -> None:
    def read(items: list[str], version: str = "v1") -> int:
        document = {
            "version": version,
            "degraded": False,
            "items": [{"video_id": i, "score": 1} for i in items],
        }
        return len(read_listing(Response(200, json.dumps(document).encode()), TRENDING, "main", "v1").items)

    assert [read([]), read(["a", "b"])] == [0, 2]
    for items in (["a", "b", "c"], ["a", "a"], ["/"]):
        with pytest.raises(UpstreamError):
            read(items)


def test_the_static_list_knows_no_genre_and_no_text() -> None:
    plan = TrafficPlan(
        epoch=1,
        created_ms=0,
        main=Upstream(version="v1", bundle_digest="d", url="http://h:1"),
        fallback=("t1", "t2"),
    )
    listing = static_listing(plan, TRENDING)
    assert listing is not None
    assert [video.video_id for video in listing.items] == ["t1"]
    assert static_listing(plan, SEARCH) is None
    assert static_listing(plan, LookupQuery("trending", genre="War")) is None
    assert static_listing(plan, LookupQuery("trending", exclude=("t1", "t2"))) is None
