"""The whole ASGI application with a fake arm behind it and a log in memory: routes, statuses, headers."""

import asyncio
import json
import random
from collections.abc import MutableMapping
from itertools import count
from typing import Any, NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from core.accept import prefers_text
from core.clock import ManualClock
from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS
from core.exposures import Exposure, decode_exposures
from core.traffic import TrafficPlan, Upstream
from load_balancer.application import Balancer
from load_balancer.arms import Arms
from load_balancer.exposures import ExposureWriter
from load_balancer.group_commit import GroupCommit
from load_balancer.hot import Events, Recommend
from load_balancer.http import Receive, Scope, Send, listed
from load_balancer.lookups import Lookups
from load_balancer.metrics import BalancerMetrics
from load_balancer.plans import PlanPoller
from load_balancer.proxy import Deadlines, Proxy
from load_balancer.shadow import ShadowPlayer
from tests.fake_arm import FakeArm
from tests.unit.load_balancer.fakes import MemoryLog

EVENT = b'{"user_id":"u1","video_id":"m1","event_type":"view","details":{"source":"home"},"timestamp":"2020-01-01T00:00:00Z"}'
JSON = {"content-type": "application/json"}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Request(NamedTuple):
    method: str
    target: str
    headers: dict[str, str] = {}  # noqa: RUF012  # a tuple's default, never changed
    body: bytes = b""


async def pages(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


class Outcome(NamedTuple):
    answers: list[Answer]
    log: MemoryLog
    exposures: list[Exposure]
    registry: CollectorRegistry


def play(
    *requests: Request, mode: str = "ok", away: bool = False, plan: bool = True, **given: Any
) -> Outcome:
    """Start the application on a main that behaves as `mode`, send the requests, stop it."""
    log, registry, clock = MemoryLog(), CollectorRegistry(), ManualClock()
    log.away = away

    async def run() -> list[Answer]:
        arm = FakeArm("v1", mode)
        url = await arm.start()
        main = Upstream(version="v1", bundle_digest="sha256:v1", url=url)
        published = TrafficPlan(epoch=3, created_ms=0, main=main, release_id="rel", stage=2, **given)
        metrics = BalancerMetrics(registry)
        plans = PlanPoller(lambda: published if plan else None, 60)
        plans.poll()
        arms = Arms(8)
        commits, exposures = GroupCommit(log, TOPIC_INTERACTIONS), ExposureWriter(log, metrics, 100)

        def start() -> None:
            commits.start()
            exposures.start()

        def stop() -> None:
            commits.stop()
            exposures.stop(0.05 if away else 3)

        proxy = Proxy(arms, Deadlines(1, 2), random.Random(1))
        shadow = ShadowPlayer(metrics.shadow, 1, random.Random(1))
        app = Balancer(
            Recommend(plans, arms, proxy, exposures, shadow, metrics, clock, map("r{}".format, count())),
            Events(commits, metrics, clock, 1.0, 1.0),
            Lookups(plans, arms, Deadlines(1, 2), metrics),
            pages,
            start,
            stop,
        )
        app.start()
        answers = [await ask(app, request) for request in requests]
        app.stop()
        arms.close()
        await arm.stop()
        return answers

    answers = asyncio.run(run())
    seen = [
        e
        for topic, batch in log.appends
        if topic == TOPIC_EXPOSURES
        for m in batch
        for e in decode_exposures(m.value)
    ]
    return Outcome(answers, log, seen, registry)


async def ask(app: Balancer, request: Request) -> Answer:
    path, _, query = request.target.partition("?")
    scope = {
        "type": "http",
        "method": request.method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in request.headers.items()],
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    head, body = sent
    headers = {k.decode(): v.decode() for k, v in head["headers"]}
    if headers and request.method != "HEAD":
        assert headers["content-length"] == str(len(body["body"]))
    return Answer(head["status"], headers, body["body"])


def get(target: str, **headers: str) -> Request:
    return Request("GET", target, headers)


def test_a_recommendation_and_its_exposure() -> None:
    outcome = play(get("/recommend/u1?count=3"))
    (answer,) = outcome.answers
    told = json.loads(answer.body)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert [item["video_id"] for item in told["items"]] == ["v1-0", "v1-1", "v1-2"]
    assert (told["user_id"], told["arm"], told["version"], told["degraded"]) == ("u1", "main", "v1", False)
    assert answer.headers["x-request-id"] == told["request_id"]
    (seen,) = outcome.exposures
    assert seen.latency_ms > 0
    assert seen == Exposure(
        request_id=told["request_id"],
        user_id="u1",
        served_ms=ManualClock().now_ms(),
        arm_assigned="main",
        arm_served="main",
        version="v1",
        bundle_digest="sha256:v1",
        release_id="rel",
        stage=2,
        epoch=3,
        items=("v1-0", "v1-1", "v1-2"),
        latency_ms=seen.latency_ms,
    )
    labels = {"arm_assigned": "main", "arm_served": "main", "outcome": "ok"}
    assert outcome.registry.get_sample_value("understudy_recommendations_total", labels) == 1


def test_plain_text_is_ids_joined_by_commas() -> None:
    (answer,) = play(get("/recommend/u1?count=3", accept="text/plain")).answers
    assert (answer.headers["content-type"], answer.body) == ("text/plain; charset=utf-8", b"v1-0,v1-1,v1-2")


def test_an_accept_header_on_several_lines_is_one_list() -> None:
    lines = [(b"accept", b"application/json;q=0.1"), (b"host", b"a"), (b"accept", b"text/plain")]
    assert prefers_text(listed({"headers": lines}, b"accept"))
    assert not prefers_text(listed({"headers": lines[:2]}, b"accept"))
    assert listed({"headers": []}, b"accept") == b""


def test_testers_exposures_are_marked() -> None:
    outcome = play(get("/recommend/tester"), get("/recommend/other"), overrides={"tester": "main"})
    assert [seen.forced for seen in outcome.exposures] == [True, False]


def test_a_client_cannot_choose_the_request_id() -> None:
    (answer,) = play(
        get("/recommend/u1", **{"x-request-id": "mine", "x-understudy-request-id": "mine"})
    ).answers
    assert "mine" not in answer.headers["x-request-id"]


def test_the_static_list_when_the_arm_is_gone() -> None:
    outcome = play(get("/recommend/u1?count=2"), mode="close", fallback=("t1", "t2", "t3"))
    told = json.loads(outcome.answers[0].body)
    assert (told["arm"], [item["video_id"] for item in told["items"]], told["degraded"]) == (
        "static",
        ["t1", "t2"],
        True,
    )
    (seen,) = outcome.exposures
    assert (seen.arm_assigned, seen.arm_served, seen.outcome, seen.items) == (
        "main",
        "static",
        "error",
        ("t1", "t2"),
    )


def test_the_static_list_goes_on_page_after_page() -> None:
    pages = [get("/recommend/u1?count=2"), *(get(f"/recommend/u1?count=2&after=r{n}") for n in range(3))]
    outcome = play(*pages, mode="close", fallback=tuple("abcde"))
    shown = [json.loads(answer.body).get("items", []) for answer in outcome.answers]
    assert ["".join(item["video_id"] for item in items) for items in shown] == ["ab", "cd", "e", ""]


def test_503_when_nobody_can_answer_is_an_exposure_to_nothing() -> None:
    outcome = play(get("/recommend/u1"), mode="error500")
    (answer,) = outcome.answers
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["request_id"] == answer.headers["x-request-id"]
    (seen,) = outcome.exposures
    assert (seen.arm_served, seen.outcome, seen.items) == ("none", "error", ())


def test_503_before_the_first_plan() -> None:
    outcome = play(get("/recommend/u1"), plan=False)
    assert outcome.answers[0].status == 503
    assert outcome.exposures == []


def test_a_wrong_request_is_400_and_no_exposure() -> None:
    bad = ["", "a/b", "٣", "u1\n", "x" * 65, "u1?count=0", "u1?count=-1", "u1?count=1e9", "u1?count=1e3", "u1?count=NaN",
           "u1?count=101", "u1?count=1&count=1", "u1?limit=3", "u1?count", "u1?explain=yes", "u1?genre="]  # fmt: skip
    outcome = play(
        *(get(f"/recommend/{target}") for target in bad), get("/recommend/u1?genre=x"), mode="refuse"
    )
    for answer in outcome.answers:
        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json"), answer
        assert json.loads(answer.body).keys() >= {"title", "status", "detail"}
    assert outcome.exposures == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_405(method: str) -> None:
    recommend, events = play(Request(method, "/recommend/u1"), Request("GET", "/events")).answers
    assert (recommend.status, recommend.headers["allow"]) == (405, "GET, HEAD")
    assert (events.status, events.headers["allow"]) == (405, "POST")


def test_head_is_answered_as_get_and_shows_nothing() -> None:
    outcome = play(Request("HEAD", "/recommend/u1"))
    assert int(outcome.answers[0].headers["content-length"]) > len(outcome.answers[0].body) == 0
    assert (outcome.answers[0].status, outcome.exposures) == (200, [])
    assert outcome.answers[0].headers["content-type"] == "application/json"


def test_everything_else_is_a_page() -> None:
    assert {
        a.status for a in play(get("/"), get("/recommend"), get("/events/1"), get("/readyz")).answers
    } == {299}


def test_events_are_acknowledged_once_they_are_in_the_log() -> None:
    outcome = play(Request("POST", "/events", JSON, b"[" + EVENT + b", 7]"))
    (answer,) = outcome.answers
    assert answer.status == 202
    assert json.loads(answer.body)["accepted"] == 1
    assert [r["index"] for r in json.loads(answer.body)["rejected"]] == [1]
    assert [topic for topic, _ in outcome.log.appends] == [TOPIC_INTERACTIONS]
    assert outcome.registry.get_sample_value("understudy_events_total", {"result": "accepted"}) == 1
    assert outcome.registry.get_sample_value("understudy_events_total", {"result": "rejected"}) == 1


def test_events_without_the_log_are_503() -> None:
    (answer,) = play(Request("POST", "/events", JSON, EVENT), away=True).answers
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, EVENT, 415),
        ({"content-type": "text/plain"}, EVENT, 415),
        ({"content-type": "application/json; charset=latin-1"}, EVENT, 415),
        ({**JSON, "content-encoding": "gzip"}, EVENT, 415),
        ({"content-type": "application/json; charset=UTF-8"}, EVENT, 202),
        (JSON, b"nonsense", 400),
        (JSON, b"[7]", 400),
        (JSON, b" " * (1024 * 1024 + 1), 413),
    ],
)
def test_events_that_cannot_be_taken(headers: dict[str, str], body: bytes, status: int) -> None:
    outcome = play(Request("POST", "/events", headers, body))
    assert outcome.answers[0].status == status
    assert len(outcome.log.appends) == (status == 202)


def test_lifespan_starts_and_stops() -> None:
    calls: list[str] = []
    app = Balancer(pages, pages, pages, pages, lambda: calls.append("start"), lambda: calls.append("stop"))
    sent: list[str] = []

    async def receive() -> MutableMapping[str, Any]:
        return {}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    async def run() -> None:
        await app({"type": "lifespan"}, receive, send)

    asyncio.run(run())
    assert calls == ["start", "stop"]
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
