"""The two hot routes, `GET /recommend/{user_id}` and `POST /events`, as plain ASGI."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field

from core.accept import prefers_text
from core.clock import Clock
from core.errors import DependencyError, InvalidInputError
from core.exposures import Exposure
from core.ids import new_ids
from core.recommend_query import RecommendQuery, parse_recommend_query
from core.traffic import Arm, TrafficPlan
from load_balancer.answers import encode
from load_balancer.arms import Arms
from load_balancer.assignment import assign
from load_balancer.events import check_events
from load_balancer.exposures import ExposureWriter
from load_balancer.group_commit import GroupCommit
from load_balancer.http import (
    JSON,
    RETRY_AFTER,
    TEXT,
    Header,
    ProblemError,
    Receive,
    Scope,
    Send,
    answer,
    check_reads,
    header,
    listed,
    read_body,
)
from load_balancer.metrics import BalancerMetrics
from load_balancer.plans import PlanPoller
from load_balancer.proxy import Proxy, Served
from load_balancer.shadow import ShadowPlayer
from load_balancer.static_pages import StaticPages

logger = logging.getLogger(__name__)

MAX_BODY = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Recommend:
    """Parse, assign, ask the arm, answer, and only then record the exposure and ask the shadow."""

    plans: PlanPoller
    arms: Arms
    proxy: Proxy
    exposures: ExposureWriter
    shadow: ShadowPlayer
    metrics: BalancerMetrics
    clock: Clock
    ids: Iterator[str] = field(default_factory=new_ids)
    static_pages: StaticPages = field(default_factory=StaticPages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        check_reads(scope)
        asked = parse_target(scope)
        query = asked if asked.after is None else self.static_pages.turned(asked)
        plan = self.plans.current
        if plan is None:
            raise ProblemError(503, "no traffic plan yet", RETRY_AFTER)
        request_id = next(self.ids)
        assigned = assign(plan, query.user_id)
        served = await self.proxy.serve(plan, assigned, query, request_id)
        if served.refusal is not None:  # a wrong request is no exposure
            refused = served.refusal
            raise ProblemError(refused.status, str(refused), (b"x-request-id", request_id.encode()))
        if served.answer is not None and (served.arm == "static" or query is not asked):
            self.static_pages.remember(request_id, asked.after, query.user_id, served.answer.video_ids)
        await self._answer(scope, send, served, request_id)
        if scope["method"] == "GET":  # to HEAD nothing was shown
            self.exposures.add(exposure(plan, assigned, served, query, request_id, self.clock.now_ms()))
            self.shadow.offer(plan, query, request_id, served.answer)
        self._count(assigned, served, time.perf_counter() - began)

    def _answer(self, scope: Scope, send: Send, served: Served, request_id: str) -> Awaitable[None]:
        named: Header = (b"x-request-id", request_id.encode())
        if served.answer is None:
            refusal = ProblemError(503, "no arm answers", RETRY_AFTER, named, request_id=request_id)
            return answer(send, 503, b"application/problem+json", refusal.body, *refusal.headers)
        if prefers_text(listed(scope, b"accept")):
            return answer(send, 200, TEXT, ",".join(served.answer.video_ids).encode(), named)
        return answer(send, 200, JSON, served.answer.body, named)

    def _count(self, assigned: Arm, served: Served, seconds: float) -> None:
        attempt = served.assigned
        metrics = self.metrics.recommend
        metrics.served.inc(assigned, served.arm, attempt.outcome)
        metrics.seconds.observe(seconds)
        if attempt.latency_ms:
            metrics.attempt_seconds.observe(attempt.latency_ms / 1000, assigned)


def parse_target(scope: Scope) -> RecommendQuery:
    """The request in the path and the query string.

    Raises:
        ProblemError: 400, with what is wrong.
    """
    try:
        user_id = scope["path"].removeprefix("/recommend/")
        return parse_recommend_query(user_id, scope["query_string"].decode("ascii"))
    except UnicodeDecodeError:
        raise ProblemError(400, "the query string is not ASCII: percent-encode it") from None
    except InvalidInputError as error:
        raise ProblemError(400, str(error)) from None


def exposure(
    plan: TrafficPlan, assigned: Arm, served: Served, query: RecommendQuery, request_id: str, now_ms: int
) -> Exposure:
    """What was shown, to whom, by which arm: the row that the online evaluation counts."""
    upstream = {"main": plan.main, "canary": plan.canary}.get(served.arm)
    shown = served.answer
    return Exposure(
        request_id=request_id,
        user_id=query.user_id,
        served_ms=now_ms,
        arm_assigned=assigned,
        arm_served=served.arm,
        version=upstream.version if upstream else served.arm,
        bundle_digest=upstream.bundle_digest if upstream else "",
        release_id=plan.release_id,
        stage=plan.stage,
        epoch=plan.epoch,
        items=shown.video_ids if shown else (),
        latency_ms=round(served.assigned.latency_ms, 3),
        outcome=served.assigned.outcome,
        forced=query.user_id in plan.overrides,
        degraded=bool(shown and shown.degraded),
    )


@dataclass(frozen=True, slots=True)
class Events:
    """Check, append, and say 202 only once the event log has acknowledged."""

    commits: GroupCommit
    metrics: BalancerMetrics
    clock: Clock
    timeout_s: float
    body_s: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise ProblemError(405, "only POST is taken here", (b"allow", b"POST"))
        _check_content(scope)
        body = await read_body(scope, receive, MAX_BODY, self.body_s)
        try:
            checked = check_events(body, self.clock.now_ms())
        except InvalidInputError as error:
            raise ProblemError(400, str(error)) from None
        self.metrics.events_rejected.inc(len(checked.rejected))
        if not checked.messages:
            raise ProblemError(400, "no event was accepted", rejected=checked.rejected)
        try:
            await self.commits.append(checked.messages, self.timeout_s)
        except DependencyError as error:
            logger.warning("%d events were answered with 503: %s", len(checked.messages), error)
            raise ProblemError(503, "the event log did not acknowledge in time", RETRY_AFTER) from None
        self.metrics.events_accepted.inc(len(checked.messages))
        await answer(send, 202, JSON, encode(checked.receipt))


def _check_content(scope: Scope) -> None:
    media, _, parameters = header(scope, b"content-type").lower().partition(b";")
    if media.strip() != b"application/json" or parameters.strip() not in {b"", b"charset=utf-8"}:
        raise ProblemError(415, "the content type must be application/json in UTF-8")
    if header(scope, b"content-encoding"):
        raise ProblemError(415, "a content encoding is not taken")
    if header(scope, b"transfer-encoding").lower() not in {b"", b"chunked"}:
        raise ProblemError(501, "no transfer coding but chunked is taken")
