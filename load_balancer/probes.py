"""Active health: every arm of the plan is asked now and then whether it is ready, viewers or not.

A canary that few viewers are assigned to would otherwise be found dead by those few, one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from time import monotonic
from typing import Final

from load_balancer.arms import Arms, Server, address
from load_balancer.connection import UpstreamError
from load_balancer.plans import PlanPoller
from load_balancer.pool import Pool

logger = logging.getLogger(__name__)

PROBE_S: Final = 1.0  # deadline of one probe: far beyond what a living arm needs


class Probes:
    """Belongs to one event loop; a task of it asks all arms every `every_s` seconds."""

    def __init__(self, plans: PlanPoller, arms: Arms, every_s: float) -> None:
        self._plans = plans
        self._arms = arms
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask, from within the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """End; after the loop's end there is nothing left to end."""
        if self._task is not None:
            with contextlib.suppress(RuntimeError):
                self._task.cancel()

    async def _run(self) -> None:
        while True:
            plan = self._plans.current
            if plan is not None:
                await asyncio.gather(*(probe(server) for server in self._arms.of(plan).values()))
            await asyncio.sleep(self._every_s)


async def probe(server: Server) -> None:
    """Ask once, on a connection of its own: one that is kept would not notice that nobody listens any more."""
    host, port = address(server.upstream.url)
    request = f"GET /readyz HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    pool = Pool(host, port, 1)
    try:
        status = (await pool.send(request.encode(), monotonic() + PROBE_S)).status
        said = f"status {status}"
    except UpstreamError as error:
        status, said = 0, str(error)
    finally:
        pool.close()
    if server.circuit.probed(answered=status == 200, now=monotonic()):
        logger.warning("%s is not ready, it is asked last from now on: %s", server.upstream.url, said)
