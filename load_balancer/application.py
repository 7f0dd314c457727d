"""The load balancer as one ASGI application: hot routes here, everything else to Flask."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from core.lookup_query import lookup_of
from load_balancer.http import (
    RETRY_AFTER,
    Application,
    GoneError,
    ProblemError,
    Receive,
    Scope,
    Send,
    answer_problem,
    without_body,
)

logger = logging.getLogger(__name__)


async def turn_away(_: Scope, __: Receive, ___: Send) -> None:
    """The application of a request that is one too many."""
    raise ProblemError(503, "too much to do at the moment", RETRY_AFTER)


@dataclass(frozen=True, slots=True)
class Balancer:
    """`start` runs before the first request, `stop` after the last; `stop` may be called twice.

    `sheds` says of each request whether it is one too many; health and metrics are always answered.
    """

    recommend: Application
    events: Application
    lookups: Application
    pages: Application
    start: Callable[[], None]
    stop: Callable[[], None]
    sheds: Callable[[], bool] = lambda: False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._lifespan(receive, send)
            return
        if scope["method"] == "HEAD":
            send = without_body(send)
        try:
            route = self._route(scope)
            if route is not self.pages and self.sheds():
                route = turn_away
            await route(scope, receive, send)
        except ProblemError as error:
            await answer_problem(send, error)
        except GoneError:
            logger.debug("a client went away before its body was complete")

    def _route(self, scope: Scope) -> Application:
        path = scope["path"]
        if path.startswith("/recommend/"):
            return self.recommend
        if path == "/events":
            return self.events
        return self.lookups if lookup_of(path) else self.pages

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.stop()
        await send({"type": "lifespan.shutdown.complete"})
