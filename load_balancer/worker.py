"""The gunicorn worker of the load balancer: its asgi worker, with the limits that it lacks.

Connections are counted and turned away beyond a limit, a request's head has a deadline, what the server itself
refuses is a problem document, and SIGTERM is acted on at once instead of within a second.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import Any, Final

from gunicorn.arbiter import Arbiter
from gunicorn.asgi.lifespan import LifespanManager
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers.gasgi import ASGIWorker

from core.problems import PROBLEM_JSON, problem

# The head of a connection's first request; between requests gunicorn's own limit for idle connections holds.
HEAD_S: Final = 5.0
RETRY_AFTER: Final = (("Retry-After", "1"),)


class Protocol(ASGIProtocol):  # type: ignore[misc]  # gunicorn is not typed
    """One connection of a client."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        if self.worker.nr_conns >= self.cfg.worker_connections:
            self._turn_away(transport)
            return
        super().connection_made(transport)
        self._head_timer = self.worker.loop.call_later(HEAD_S, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def _turn_away(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self._conn_lost_handled = True  # it was never counted
        self._send_error_response(503, "too many connections", RETRY_AFTER)
        self._close_transport()

    def _head_is_late(self) -> None:
        parser = self._callback_parser
        if parser.method is not None or parser._buffer:  # a connection that never said anything just ends
            self._send_error_response(408, f"the head was not complete within {HEAD_S:g} s")
        self._keepalive_timeout()

    def _on_headers_complete(self) -> bool:
        self._stop_head_timer()
        skip: bool = super()._on_headers_complete()
        return skip

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _send_error_response(
        self, status: int, message: str, extra_headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        body = problem(status, message)
        extra = "".join(f"{name}: {value}\r\n" for name, value in extra_headers)
        head = (
            f"HTTP/1.1 {status} {self._get_reason_phrase(status)}\r\nContent-Type: {PROBLEM_JSON}\r\n"
            f"Content-Length: {len(body)}\r\n{extra}Connection: close\r\n\r\n"
        )
        self._safe_write(head.encode("latin-1") + body)

    async def _serve_http_request(self, request: Any, sockname: Any, peername: Any) -> bool:
        # gunicorn runs each request as a task of its own, for applications that go on after the answer.
        # Ours are done within microseconds of it: the task would cost more than they do.
        keep: bool = await self._handle_http_request(request, sockname, peername)
        return keep


class Worker(ASGIWorker):  # type: ignore[misc]
    """Serves `Protocol` on uvloop until SIGTERM."""

    def handle_exit_signal(self) -> None:
        super().handle_exit_signal()
        self._ending.set()

    def handle_quit_signal(self) -> None:
        super().handle_quit_signal()
        self._ending.set()

    async def _serve(self) -> None:
        self._ending = asyncio.Event()
        self.lifespan = LifespanManager(self.asgi, self.log, self.state)
        try:
            await self.lifespan.startup()
        except RuntimeError as error:
            self.log.critical("the load balancer cannot start: %s", error)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None
        for bound in self.sockets:
            self.servers.append(await self.loop.create_server(lambda: Protocol(self), sock=bound.sock))
            self.log.info("ASGI server listening on %s", bound)
        await self._until_told()
        await self._shutdown()

    async def _until_told(self) -> None:
        """Give the parent its signs of life; return on a signal, or when the parent is gone."""
        while self.alive and self.ppid == os.getppid():
            self.notify()
            try:
                async with asyncio.timeout(1.0):
                    await self._ending.wait()
            except TimeoutError:
                continue
