"""Kept connections to one upstream: the newest idle one is used first, the others end by age."""

from __future__ import annotations

import asyncio
from time import monotonic

from load_balancer.connection import AttemptTimeoutError, Connection, Response, StaleError, UpstreamError

# The inference service closes idle connections after 75 s: with 30 s we are always first.
IDLE_S = 30.0


class BusyError(UpstreamError):
    """As many requests are on their way as this upstream may have at once."""


class Pool:
    """At most `limit` requests at once. Belongs to one event loop."""

    def __init__(self, host: str, port: int, limit: int) -> None:
        self._host = host
        self._port = port
        self._limit = limit
        self._busy = 0
        self._closed = False
        self._idle: list[Connection] = []

    async def send(self, request: bytes, deadline: float) -> Response:
        """One GET, sent once more on a new connection if the kept one had been closed meanwhile.

        Raises:
            BusyError: at the limit; nothing was sent.
            AttemptTimeoutError, UpstreamError: see Connection.exchange.
        """
        if self._busy >= self._limit:
            raise BusyError(f"{self._limit} requests are on their way")
        self._busy += 1
        try:
            kept = self._take()
            if kept is not None:
                try:
                    return await kept.exchange(request, deadline)
                except StaleError:
                    # The others were closed for the same reason (a restart): none of them is worth a try.
                    self.drain()
            return await (await self._connected(deadline)).exchange(request, deadline)
        finally:
            self._busy -= 1

    def drain(self) -> None:
        """Close every idle connection."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def close(self) -> None:
        """Close every idle connection now, and those in use after their answer."""
        self._closed = True
        self.drain()

    def _free(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
            return
        connection.idle_since = monotonic()
        self._idle.append(connection)

    def _take(self) -> Connection | None:
        oldest_allowed = monotonic() - IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since < oldest_allowed:
                connection.close()
                self.drain()  # all that is left has been idle for longer
            elif connection.open:
                return connection
        return None

    async def _connected(self, deadline: float) -> Connection:
        # A task of its own: a plain request is none (eager.py), and a timeout belongs to one.
        return await asyncio.get_running_loop().create_task(self._connect(deadline))

    async def _connect(self, deadline: float) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(deadline):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, self._free), self._host, self._port
                )
        except TimeoutError:
            raise AttemptTimeoutError("no connection in time") from None
        except OSError as error:
            raise UpstreamError(f"{self._host}:{self._port}: {error}") from None
        return connection
