"""One recommendation request: the assigned arm, else the other arm, else the plan's static list, else nothing."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Final, Literal

import msgspec

from core.recommend_query import RecommendQuery
from core.traffic import Arm, TrafficPlan
from load_balancer.answers import RefusedRequestError, Shown, read_answer, static_answer
from load_balancer.arms import Arms, Server
from load_balancer.circuit import LAST_RESORT
from load_balancer.connection import AttemptTimeoutError, UpstreamError
from load_balancer.pool import BusyError

logger = logging.getLogger(__name__)

Outcome = Literal["ok", "short", "error", "timeout"]
OTHER: Final[dict[Arm, Arm]] = {"main": "canary", "canary": "main"}
# What is left of a request's time must be worth another attempt.
SHORTEST_ATTEMPT_S: Final = 0.02


class Attempt(msgspec.Struct, frozen=True):
    """How one arm did. `answer` is there if it can be shown (ok, short), `refusal` if the request is wrong.

    `fault` is what may be held against the arm, empty where nothing is; `answered` says that it did, if badly.
    """

    outcome: Outcome
    answer: Shown | None = None
    latency_ms: float = 0.0
    refusal: RefusedRequestError | None = None
    fault: str = ""
    answered: bool = False


class Served(msgspec.Struct, frozen=True):
    """`assigned` is the assigned arm's attempt, whoever answered; `arm` may also be static or none.

    `refusal` is set where nobody answered because the request itself is wrong.
    """

    arm: str
    answer: Shown | None
    assigned: Attempt
    refusal: RefusedRequestError | None = None


LEFT_OUT: Final = Attempt("error")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds one attempt and a whole request may take."""

    attempt_s: float
    request_s: float


class _Call(msgspec.Struct, frozen=True):
    query: RecommendQuery
    request_id: str
    until: float


class Proxy:
    """Belongs to one event loop. `draw` gives the numbers from 0 to 1 by which an arm returns slowly."""

    def __init__(self, arms: Arms, deadlines: Deadlines, draw: random.Random) -> None:
        self._arms = arms
        self._deadlines = deadlines
        self._draw = draw

    async def serve(self, plan: TrafficPlan, assigned: Arm, query: RecommendQuery, request_id: str) -> Served:
        """The answer, by whichever arm can give it in time; never raises for what an arm does."""
        servers = self._arms.of(plan)
        now = monotonic()
        call = _Call(query, request_id, now + self._deadlines.request_s)
        tried: dict[Arm, Attempt] = {}
        for arm in self._order(servers, assigned, now):
            attempt = tried[arm] = await self._attempt(servers[arm], arm, call)
            if attempt.answer is not None:
                if len(tried) > 1:
                    _record_faults(servers, tried, shown=True)
                return Served(arm, attempt.answer, tried.get(assigned, LEFT_OUT))
        _record_faults(servers, tried, shown=False)
        first = tried.get(assigned, LEFT_OUT)
        refusal = first.refusal or tried.get(OTHER[assigned], LEFT_OUT).refusal
        answer = static_answer(plan.fallback, query, request_id) if refusal is None else None
        return Served("static" if answer is not None else "none", answer, first, refusal)

    def _order(self, servers: dict[Arm, Server], assigned: Arm, now: float) -> Iterator[Arm]:
        """The arms to ask, the assigned one first; one that comes back slowly often comes last.

        The other arm's health is asked for only once the first has failed.
        """
        other = OTHER[assigned]
        if servers[assigned].circuit.weight(now) >= 1:
            yield assigned
            if other in servers and servers[other].circuit.weight(now) > LAST_RESORT:
                yield other
            return
        arms = [arm for arm in (assigned, other) if arm in servers]
        weights = {arm: servers[arm].circuit.weight(now) for arm in arms}
        # One draw for both: arms that come back at the same time keep their viewers.
        drawn = self._draw.random()
        ahead = [arm for arm in arms if weights[arm] > drawn]
        # Coming back slowly is for when somebody else can answer, and so is being last.
        least = LAST_RESORT if ahead else 0.0
        yield from ahead
        yield from (arm for arm in arms if drawn >= weights[arm] > least)

    async def _attempt(self, server: Server, arm: Arm, call: _Call) -> Attempt:
        began = monotonic()
        deadline = min(began + self._deadlines.attempt_s, call.until)
        if deadline - began < SHORTEST_ATTEMPT_S:
            return Attempt("timeout")
        request = f"GET {call.query.target()} {server.head}{call.request_id}\r\n\r\n".encode()
        response = None
        try:
            response = await server.pool.send(request, deadline)
            answer = read_answer(response, call.query, call.request_id, arm, server.upstream.version)
        except RefusedRequestError as error:
            return Attempt("error", None, (monotonic() - began) * 1000, error)
        except UpstreamError as error:
            return _failed(error, began, answered=response is not None)
        now = monotonic()
        server.circuit.record(succeeded=True, now=now)
        whole = len(answer.video_ids) == call.query.count
        return Attempt("ok" if whole else "short", answer, (now - began) * 1000)


def _failed(error: UpstreamError, began: float, *, answered: bool) -> Attempt:
    return Attempt(
        "timeout" if isinstance(error, AttemptTimeoutError) else "error",
        latency_ms=(monotonic() - began) * 1000,
        # Busy says something about our load, not about the arm: leaving it out would only move the load.
        fault="" if isinstance(error, BusyError) else str(error) or type(error).__name__,
        answered=answered,
    )


def _record_faults(servers: dict[Arm, Server], tried: dict[Arm, Attempt], *, shown: bool) -> None:
    """Hold against an arm that it gave no answer, or a bad one where the other arm had a good one.

    What no arm answers well is the request's doing. Else one viewer whom nobody can serve would have the canary
    left out, which is asked again for every such viewer of main, and its own viewers would count as failed.
    """
    for arm, attempt in tried.items():
        if attempt.fault and (shown or not attempt.answered):
            server = servers[arm]
            if server.circuit.record(succeeded=False, now=monotonic()):
                logger.warning("%s at %s is left out: %s", arm, server.upstream.url, attempt.fault)
