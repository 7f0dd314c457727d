"""One HTTP/1.1 connection to an upstream: sends a GET, reads an answer with a Content-Length, stays open."""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple, cast

from load_balancer.watch import Watch

MAX_HEAD = 16 * 1024
MAX_BODY = 1024 * 1024
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])[ \r]", re.IGNORECASE)
_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding|connection):([^\r\n]*)", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,7}")


class UpstreamError(Exception):
    """The upstream did not give an answer that can be used."""


class AttemptTimeoutError(UpstreamError):
    """The deadline passed."""


class StaleError(UpstreamError):
    """A kept connection turned out to be closed before any byte of an answer: the request may be sent again."""


class Response(NamedTuple):
    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """Used by one request at a time. After an error it is closed and never used again."""

    __slots__ = (
        "_buffer",
        "_head_size",
        "_keep",
        "_length",
        "_loop",
        "_status",
        "_transport",
        "_waiter",
        "_watch",
        "idle_since",
        "used",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._watch = Watch(loop, self._is_late)
        self._reset()
        self.used = False
        self.idle_since = 0.0

    def _reset(self) -> None:
        self._buffer = b""
        self._status = 0
        self._head_size = 0
        self._length = 0
        self._keep = True

    @property
    def open(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes, deadline: float) -> Response:
        """Send `request`, return the answer.

        Args:
            request: a whole GET request.
            deadline: by time.monotonic, which is the loop's clock too.

        Raises:
            StaleError: closed before the first byte of an answer, on a connection that had served before.
            AttemptTimeoutError: no whole answer by `deadline`.
            UpstreamError: reset, or an answer that breaks HTTP/1.1 or our limits.
        """
        if self._transport is None:
            raise StaleError("closed")
        self._reset()
        waiter = self._waiter = self._loop.create_future()
        self._watch.set(deadline)
        try:
            self._transport.write(request)
            response: Response = await waiter
            return response
        finally:
            self._watch.clear()
            self._waiter = None
            self.used = True
            if not waiter.done() or waiter.cancelled():
                self.close()

    def close(self) -> None:
        self._watch.stop()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self.close()  # bytes that nobody asked for: whatever follows would be taken for the next answer
            return
        self._buffer = self._buffer + data if self._buffer else data
        try:
            if not self._status and not self._read_head():
                return
        except UpstreamError as error:
            self._fail(error)
            return
        size = self._head_size + self._length
        if len(self._buffer) > size:
            self._fail(UpstreamError("more bytes than Content-Length says"))
        elif len(self._buffer) == size:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.stop()
        self._transport = None
        if self._waiter is not None and not self._waiter.done():
            stale = self.used and not self._buffer
            self._waiter.set_exception(
                StaleError("closed while idle") if stale else UpstreamError(f"connection lost: {exc}")
            )

    def _finish(self) -> None:
        assert self._waiter is not None  # noqa: S101  # data_received has looked
        self._waiter.set_result(Response(self._status, self._buffer[self._head_size :]))
        if not self._keep:
            self.close()

    def _is_late(self) -> None:
        self._fail(AttemptTimeoutError("no answer in time"))

    def _fail(self, error: UpstreamError) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.close()

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            if len(self._buffer) >= MAX_HEAD:
                raise UpstreamError(f"head of over {MAX_HEAD} bytes")
            return False
        head = self._buffer[: end + 2]
        match = _STATUS.match(head)
        if match is None:
            raise UpstreamError(f"status line {head[:40]!r}")
        self._length, self._keep = _framing(head)
        self._head_size = end + 4
        self._status = int(match[1])
        return True


def _framing(head: bytes) -> tuple[int, bool]:
    """Content-Length, and whether the connection stays open, from a head whose lines all end with CRLF."""
    length: bytes | None = None
    keep = True
    for name, value in _FRAMING.findall(head):
        match name.lower():
            case b"content-length" if length is None:
                length = value.strip()
            case b"content-length":
                raise UpstreamError("two Content-Length headers")
            case b"transfer-encoding":
                raise UpstreamError("Transfer-Encoding instead of a Content-Length")
            case _:
                keep = b"close" not in value.lower()
    if length is None or not _LENGTH.fullmatch(length) or int(length) > MAX_BODY:
        raise UpstreamError(f"Content-Length {length!r}")
    return int(length), keep
