"""Shadow mode: a candidate is asked a copy of some requests; its answers are compared and thrown away.

A copy is sent after the viewer has the answer, is never shown and never an exposure. At most `MOST` are on
their way; what comes on top is left out and counted, so that a candidate that hangs costs nothing but that.
"""

from __future__ import annotations

import asyncio
import logging
import random
from time import monotonic
from typing import Final

from core.errors import InvalidInputError
from core.recommend_query import RecommendQuery
from core.traffic import Shadow, TrafficPlan
from load_balancer.answers import Shown, read_answer
from load_balancer.arms import Arms, Server, check_plan
from load_balancer.comparison import compare
from load_balancer.connection import AttemptTimeoutError, UpstreamError
from load_balancer.metrics import ShadowMetrics

logger = logging.getLogger(__name__)

MOST: Final = 32


class ShadowPlayer:
    """Belongs to one event loop. `draw` decides which requests are copied."""

    def __init__(self, metrics: ShadowMetrics, attempt_s: float, draw: random.Random) -> None:
        self._metrics = metrics
        self._attempt_s = attempt_s
        self._draw = draw
        self._arms = Arms(MOST)
        self._shadow: Shadow | None = None
        self._alone: TrafficPlan | None = None
        self._copies: set[asyncio.Task[None]] = set()

    def offer(self, plan: TrafficPlan, query: RecommendQuery, request_id: str, shown: Shown | None) -> None:
        """Copy this request, perhaps; returns at once.

        A page after another is not copied: only the version that made the first one can go on.
        """
        if plan.shadow is None or shown is None or query.after is not None:
            return
        if self._draw.random() >= plan.shadow.share:
            return
        server = self._server(plan, plan.shadow)
        if server is None or self.on_their_way >= MOST:
            self._metrics.copies("left_out").inc()
            return
        copy = asyncio.get_running_loop().create_task(self._play(server, query, request_id, shown))
        self._copies.add(copy)
        copy.add_done_callback(self._copies.discard)

    @property
    def on_their_way(self) -> int:
        """Copies without an answer yet."""
        return len(self._copies)

    def close(self) -> None:
        self._arms.close()

    async def _play(self, server: Server, query: RecommendQuery, request_id: str, shown: Shown) -> None:
        began = monotonic()
        request = f"GET {query.target()} {server.head}{request_id}\r\n\r\n".encode()
        try:
            response = await server.pool.send(request, began + self._attempt_s)
            answer = read_answer(response, query, request_id, "shadow", server.upstream.version)
        except UpstreamError as error:
            late = isinstance(error, AttemptTimeoutError)
            self._metrics.copies("timeout" if late else "error").inc()
            return
        self._metrics.seconds.observe(monotonic() - began)
        self._metrics.copies("ok" if len(answer.video_ids) == query.count else "short").inc()
        agreement = compare(shown.video_ids, answer.video_ids)
        self._metrics.overlap.observe(agreement.overlap)
        if agreement.order is not None:
            self._metrics.order.observe(agreement.order)

    def _server(self, plan: TrafficPlan, shadow: Shadow) -> Server | None:
        """The candidate's connections; None where the plan does not say how to reach it."""
        if shadow != self._shadow:
            self._shadow, self._alone = shadow, _alone(plan, shadow)
        return self._arms.of(self._alone)["main"] if self._alone is not None else None


def _alone(plan: TrafficPlan, shadow: Shadow) -> TrafficPlan | None:
    """A plan in which the candidate is all there is, so that its connections are kept as an arm's are."""
    alone = TrafficPlan(epoch=plan.epoch, created_ms=plan.created_ms, main=shadow.upstream)
    try:
        check_plan(alone)
    except InvalidInputError as error:
        logger.warning("no request is copied: %s", error)
        return None
    return alone
