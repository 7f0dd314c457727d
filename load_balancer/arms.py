"""The running arms as the data plane sees them: a pool and a circuit for each upstream of the plan in force."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from core.errors import InvalidInputError
from core.traffic import Arm, TrafficPlan, Upstream
from load_balancer.circuit import Circuit
from load_balancer.pool import Pool

# A name or an address: nothing that would break the Host header of a request.
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]+")


@dataclass(frozen=True, slots=True)
class Server:
    """One upstream with its connections and its health. `head` ends every request to it."""

    upstream: Upstream
    pool: Pool
    circuit: Circuit
    head: str


def address(url: str) -> tuple[str, int]:
    """Host and port of an upstream's URL, which has nothing else.

    Raises:
        InvalidInputError: anything but `http://host:port`.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    written = {f"http://{host}:{port}", f"http://[{host}]:{port}"}
    if not host or not port or not _HOST.fullmatch(host) or url not in written:
        raise InvalidInputError(f"upstream {url[:80]!r} is not of the form http://host:port")
    return host, port


def check_plan(plan: TrafficPlan) -> None:
    """Refuse a plan that cannot be followed.

    Raises:
        InvalidInputError: an upstream without address, both arms at one address, or a share outside 0 to 1.
    """
    address(plan.main.url)
    if plan.canary is not None:
        address(plan.canary.url)
        if plan.canary.url == plan.main.url:
            raise InvalidInputError(f"main and canary are both at {plan.main.url}")
    if not 0 <= plan.share <= 1:
        raise InvalidInputError(f"share {plan.share} is not between 0 and 1")


class Arms:
    """Follows the plan: upstreams that stay keep connections and health, those that go are closed."""

    def __init__(self, arm_requests: int) -> None:
        self._limit = arm_requests
        self._plan: TrafficPlan | None = None
        self._servers: dict[Arm, Server] = {}

    def of(self, plan: TrafficPlan) -> dict[Arm, Server]:
        """The servers of this plan, by arm."""
        if plan is not self._plan:
            self._follow(plan)
        return self._servers

    def ejected(self, arm: str) -> bool:
        """Whether this arm of the plan is left out right now because it fails; from any thread."""
        return any(
            name == arm and server.circuit.weight(monotonic()) < 1 for name, server in self._servers.items()
        )

    def close(self) -> None:
        """Close the idle connections; after the loop's end there is nothing left to close."""
        with contextlib.suppress(RuntimeError):
            for server in self._servers.values():
                server.pool.close()

    def _follow(self, plan: TrafficPlan) -> None:
        known = {server.upstream.url: server for server in self._servers.values()}
        wanted: dict[Arm, Upstream] = {"main": plan.main}
        if plan.canary is not None:
            wanted["canary"] = plan.canary
        self._servers = {
            arm: self._server(upstream, known.get(upstream.url)) for arm, upstream in wanted.items()
        }
        urls = {upstream.url for upstream in wanted.values()}
        for url, server in known.items():
            if url not in urls:
                server.pool.close()
        self._plan = plan

    def _server(self, upstream: Upstream, known: Server | None) -> Server:
        if known is not None and known.upstream == upstream:
            return known
        host, port = address(upstream.url)
        head = f"HTTP/1.1\r\nHost: {upstream.url.removeprefix('http://')}\r\nX-Understudy-Request-Id: "
        return Server(upstream, Pool(host, port, self._limit), Circuit(), head)
