"""One viewer's connection: gunicorn's protocol, with the limits that it lacks and a short way for plain requests.

Connections are counted and turned away beyond a limit, a request's head has a deadline, and what the server itself
refuses is a problem document. Plain requests (core/plain_request.py) go past gunicorn's parser and its bookkeeping,
which cost more than all that the load balancer does with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final

from gunicorn.asgi.parser import InvalidHeader
from gunicorn.asgi.protocol import ASGIProtocol

from core.plain_request import read_plain
from core.problems import PROBLEM_JSON, problem
from load_balancer.eager import run_eagerly
from load_balancer.http import Scope
from load_balancer.plain_send import PlainSend
from load_balancer.watch import Watch

# The head of a connection's first request; between requests gunicorn's own limit for idle connections holds.
HEAD_S: Final = 5.0
# How long a client may leave what was answered unread: then it does not come back for it.
UNREAD_S: Final = 30.0
RETRY_AFTER: Final = (("Retry-After", "1"),)
# What all plain requests have in common. No addresses: nobody asks for them, and a connection that has been
# reset has none.
PLAIN_SCOPE: Final[Mapping[str, Any]] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "scheme": "http",
    "root_path": "",
}


async def receive_nothing() -> MutableMapping[str, Any]:
    """ASGI's `receive` of one plain request, which has no body."""
    return {"type": "http.request", "body": b"", "more_body": False}


class Protocol(ASGIProtocol):  # type: ignore[misc]  # gunicorn is not typed
    """One connection of a client."""

    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    _is_last = False  # the client has closed its half
    _behind_plain: bytes | None = None  # what came while a plain request was served; None while none is

    def __init__(self, worker: Any) -> None:
        super().__init__(worker)
        self._idle = Watch(worker.loop, self._keepalive_timeout)

    def connection_made(self, transport: asyncio.Transport) -> None:
        if self.worker.nr_conns >= self.cfg.worker_connections:
            self._turn_away(transport)
            return
        super().connection_made(transport)
        self._head_timer = self.worker.loop.call_later(HEAD_S, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_unread_timer()
        super().connection_lost(exc)
        self._idle.stop()

    def eof_received(self) -> bool:
        """A client that will send no more may wait for the answer all the same: the connection ends after it."""
        self._is_last = True
        parser = self._callback_parser
        return self._behind_plain is not None or (parser is not None and parser.is_complete)

    def _arm_keepalive_timer(self) -> None:
        if self._is_last:
            self.worker.loop.call_soon(self._keepalive_timeout)
            return
        self._idle.set(self.worker.loop.time() + self._keepalive)

    def _cancel_keepalive_timer(self) -> None:
        self._idle.clear()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_unread_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self._closed:
            self._stop_unread_timer()

    def _close_transport(self) -> None:
        if not self._closed:  # it closes once the client has all that was written, whenever that is
            self._start_unread_timer()
        super()._close_transport()

    def _start_unread_timer(self) -> None:
        if self._unread_timer is None:
            self._unread_timer = self.worker.loop.call_later(UNREAD_S, self.transport.abort)

    def _stop_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def data_received(self, data: bytes) -> None:
        if self._behind_plain is not None:
            self._behind_plain += data
            self._pause_reading()  # one packet more is enough to hold
        elif self._is_idle() and (scope := read_plain(data)) is not None:
            self._stop_head_timer()
            self._idle.clear()
            self._behind_plain = b""
            run_eagerly(self._serve_plain(scope))
        else:
            super().data_received(data)

    def _resume_reading(self) -> None:
        # gunicorn reads on after each request, whatever waits behind it, and copies all that waits each time.
        if self._http1_buffered() <= self._max_buffer_size // 2:
            super()._resume_reading()

    def _feed_callback_parser(self, data: bytes) -> bool:
        try:
            goes_on: bool = super()._feed_callback_parser(data)
        except ValueError:  # Python reads no number of over 4,300 digits, which the parser does not expect
            self._send_error_response(400, "a number in the head is too long")
            self._close_transport()
            return False
        return goes_on

    def _is_websocket_upgrade(self, request: Any) -> bool:
        """Never: a server may pass over an upgrade that it does not offer (RFC 9110 section 7.8)."""
        return False

    def _is_idle(self) -> bool:
        """Whether the next byte is the first of a request."""
        parser = self._callback_parser
        return parser is not None and parser.method is None and not parser._buffer and not self._closed

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
        parser = self._callback_parser
        if parser.http_version == (1, 1) and all(name != b"host" for name, _ in parser.headers):
            raise InvalidHeader("no Host header (RFC 9112 section 3.2)")
        skip: bool = super()._on_headers_complete()
        return skip

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _send_error_response(
        self, status: int, message: str, extra_headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        # gunicorn's reason for a method or a name that it refuses is just that, which may be empty.
        body = problem(status, message or "this is no request that HTTP/1.1 knows (RFC 9112)")
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

    async def _serve_plain(self, wanted: Scope) -> None:
        """Serve one plain request while gunicorn's loop waits, and take up what it does after each."""
        send = PlainSend(self._safe_write, self._ends_now)
        scope = {**PLAIN_SCOPE, **wanted}
        try:
            await self.app(scope, receive_nothing, send)
        except Exception:  # as gunicorn does with any other request
            self.log.exception("Error in ASGI application")
            if not send.complete:
                self._send_error_response(500, "Internal Server Error")
            send.keep = False
        if self._flow_control.write_paused:
            await self._flow_control.drain()
        self._end_plain(send.keep)

    def _end_plain(self, keep: bool) -> None:
        self.worker.nr += 1
        if self.worker.nr >= self.worker.max_requests:
            self.log.info("Autorestarting worker after current request.")
            self.worker.alive = False
        if not keep:  # what has come since is never read
            self._request_ready.set()  # without a request: gunicorn's loop ends the connection
        elif self._behind_plain:
            self.worker.loop.call_soon(self._read_behind)
        elif not self._closed:
            self._behind_plain = None
            self._arm_keepalive_timer()

    def _read_behind(self) -> None:
        """Read what came meanwhile; until now the rest of it was held back, or it would have been read first."""
        behind, self._behind_plain = self._behind_plain, None
        self._resume_reading()
        if behind and not self._closed:
            self._arm_keepalive_timer()
            self.data_received(behind)

    def _ends_now(self) -> bool:
        worker = self.worker
        return not worker.alive or worker.nr + 1 >= worker.max_requests
