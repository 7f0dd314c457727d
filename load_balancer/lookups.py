"""`/search`, `/videos/{id}/similar`, `/trending`: no viewer, so no assignment and no exposure; main answers.

Raw ASGI like the hot routes, because they wait for an arm too: a thread of the pages would hold up /readyz.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Final

import msgspec

from core.errors import InvalidInputError
from core.ids import new_id
from core.lookup_query import LookupQuery, parse_lookup
from core.traffic import Arm, TrafficPlan
from load_balancer.answers import check_ids, encode, problem_detail
from load_balancer.arms import Arms, Server
from load_balancer.circuit import LAST_RESORT
from load_balancer.connection import Response, UpstreamError
from load_balancer.http import JSON, RETRY_AFTER, ProblemError, Receive, Scope, Send, answer, check_reads
from load_balancer.metrics import BalancerMetrics
from load_balancer.plans import PlanPoller
from load_balancer.proxy import SHORTEST_ATTEMPT_S, Deadlines

ARMS: Final[tuple[Arm, ...]] = ("main", "canary")
# What an arm may refuse by: the request's fault, or something it does not have.
REFUSALS: Final = frozenset({400, 404, 503})


class FoundVideo(msgspec.Struct, frozen=True):
    """One video of a list; `score` is a cosine, or what trending counts."""

    video_id: str
    score: float


class _ArmListing(msgspec.Struct, frozen=True):
    version: str
    degraded: bool
    items: list[FoundVideo]


class Listing(msgspec.Struct, frozen=True):
    """The answer to the viewer. `arm` is main, canary, or static: the plan's list of last resort."""

    arm: str
    version: str
    degraded: bool
    items: list[FoundVideo]


_decode = msgspec.json.Decoder(_ArmListing).decode


@dataclass(frozen=True, slots=True)
class Lookups:
    """Parse, ask main, else the canary, else (trending alone) the plan's static list."""

    plans: PlanPoller
    arms: Arms
    deadlines: Deadlines
    metrics: BalancerMetrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        check_reads(scope)
        query = parse_target(scope)
        plan = self.plans.current
        if plan is None:
            raise ProblemError(503, "no traffic plan yet", RETRY_AFTER)
        try:
            listing = await self._ask(plan, query)
        except ProblemError as refused:
            if refused.status == 503:
                self.metrics.lookups.labels(query.lookup, "none").inc()
            raise
        self.metrics.lookups.labels(query.lookup, listing.arm).inc()
        await answer(send, 200, JSON, encode(listing))

    async def _ask(self, plan: TrafficPlan, query: LookupQuery) -> Listing:
        servers = self.arms.of(plan)
        until = monotonic() + self.deadlines.request_s
        refusals: list[ProblemError] = []
        for arm in _order(servers):
            try:
                return await self._attempt(servers[arm], arm, query, until)
            except ProblemError as refused:
                refusals.append(refused)
            except UpstreamError:
                continue
        static = static_listing(plan, query) if not _wrong(refusals) else None
        if static is not None:
            return static
        raise _worst(refusals)

    async def _attempt(self, server: Server, arm: Arm, query: LookupQuery, until: float) -> Listing:
        now = monotonic()
        deadline = min(now + self.deadlines.attempt_s, until)
        if deadline - now < SHORTEST_ATTEMPT_S:
            raise UpstreamError("no time left")
        request = f"GET {query.target()} {server.head}{new_id()}\r\n\r\n".encode()
        response = await server.pool.send(request, deadline)
        return read_listing(response, query, arm, server.upstream.version)


def _order(servers: dict[Arm, Server]) -> list[Arm]:
    """The arms to ask: main first, but one that is not ready last, and one that is ejected not at all.

    The arms' health is the affair of recommendations and probes: read here, and left as it is.
    """
    now = monotonic()
    weights = {arm: servers[arm].circuit.weight(now) for arm in ARMS if arm in servers}
    asked = [arm for arm, weight in weights.items() if weight > 0]
    return sorted(asked, key=lambda arm: weights[arm] <= LAST_RESORT)


def parse_target(scope: Scope) -> LookupQuery:
    """The request in the path and the query string.

    Raises:
        ProblemError: 400, with what is wrong.
    """
    try:
        return parse_lookup(scope["path"], scope["query_string"].decode("ascii"))
    except UnicodeDecodeError:
        raise ProblemError(400, "the query string is not ASCII: percent-encode it") from None
    except InvalidInputError as error:
        raise ProblemError(400, str(error)) from None


def read_listing(response: Response, query: LookupQuery, arm: str, version: str) -> Listing:
    """The answer of `arm`, which should be serving `version`.

    Raises:
        ProblemError: the arm refuses (400, 404, 503), with its own words.
        UpstreamError: anything that is no list of at most `count` videos by that version.
    """
    if response.status in REFUSALS:
        retry = (RETRY_AFTER,) if response.status == 503 else ()
        raise ProblemError(response.status, problem_detail(response.body), *retry)
    if response.status != 200:
        raise UpstreamError(f"status {response.status}")
    try:
        found = _decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(f"not a list: {error}") from None
    if found.version != version:
        raise UpstreamError(f"version {found.version[:80]!r} instead of {version!r}")
    if found.items:  # nothing may be trending, and a genre may have nothing left
        check_ids([item.video_id for item in found.items], query.count)
    return Listing(arm, version, found.degraded, found.items)


def static_listing(plan: TrafficPlan, query: LookupQuery) -> Listing | None:
    """The plan's trending list, without what the request excludes; it knows no genres, and no other lookup."""
    if query.lookup != "trending" or query.genre is not None:
        return None
    ids = [video for video in plan.fallback if video not in query.exclude][: query.count]
    return Listing("static", "static", True, [FoundVideo(video, 0.0) for video in ids]) if ids else None


def _wrong(refusals: list[ProblemError]) -> bool:
    return any(refused.status != 503 for refused in refusals)


def _worst(refusals: list[ProblemError]) -> ProblemError:
    """What the caller can mend comes first: a wrong request, then what an arm does not have."""
    first = sorted(refusals, key=lambda refused: refused.status)
    return first[0] if first else ProblemError(503, "no arm answers", RETRY_AFTER)
