"""One HTTP/1.1 connection to an upstream: sends a GET, reads an answer with a Content-Length, stays open."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import lru_cache
from typing import cast

import msgspec

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


class Response(msgspec.Struct, frozen=True, gc=False):
    status: int
    body: bytes


class _Head(msgspec.Struct, frozen=True, gc=False):
    """`size` and `length` are those of the head, its empty line included, and of the body."""

    status: int
    size: int
    length: int
    keep: bool


class Connection(asyncio.Protocol):
    """Used by one request at a time. After an error it is closed and never used again.

    Args:
        free: takes the connection after every answer, if it can be used again.
    """

    __slots__ = (
        "_buffer",
        "_free",
        "_head",
        "_loop",
        "_transport",
        "_waiter",
        "_watch",
        "idle_since",
        "used",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, free: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._free = free
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._watch = Watch(loop, self._is_late)
        self._buffer = b""
        self._head: _Head | None = None
        self.used = False
        self.idle_since = 0.0

    @property
    def open(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def exchange(self, request: bytes, deadline: float) -> asyncio.Future[Response]:
        """Send `request`; the future has the answer, or one of these errors.

        Where it is cancelled, the connection is closed by the next byte or at the deadline.

        Args:
            request: a whole GET request.
            deadline: by time.monotonic, which is the loop's clock too.

        Raises:
            StaleError: closed before the first byte of an answer, on a connection that had served before.
            AttemptTimeoutError: no whole answer by `deadline`.
            UpstreamError: reset, or an answer that breaks HTTP/1.1 or our limits.
        """
        waiter = self._waiter = self._loop.create_future()
        if self._transport is None:
            self._settle(StaleError("closed"))
            return waiter
        self._buffer, self._head = b"", None
        self._watch.set(deadline)
        self._transport.write(request)
        return waiter

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
            head = self._head = self._head or _first_head(self._buffer)
        except UpstreamError as error:
            self._fail(error)
            return
        if head is None:
            return
        missing = head.size + head.length - len(self._buffer)
        if missing < 0:
            self._fail(UpstreamError("more bytes than Content-Length says"))
        elif missing == 0:
            self._finish(head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.stop()
        self._transport = None
        stale = self.used and not self._buffer
        self._settle(StaleError("closed while idle") if stale else UpstreamError(f"connection lost: {exc}"))

    def _finish(self, head: _Head) -> None:
        if not head.keep:
            self.close()
        elif self.open:
            self._free(self)
        self._settle(Response(head.status, self._buffer[head.size :]))

    def _is_late(self) -> None:
        self._fail(AttemptTimeoutError("no answer in time"))

    def _fail(self, error: UpstreamError) -> None:
        self.close()
        self._settle(error)

    def _settle(self, outcome: Response | UpstreamError) -> None:
        """End the exchange, if there is one: whoever waits goes on in the loop's next turn.

        Not at once: answers that came together are then passed on together, which wakes whoever reads them once.
        """
        waiter, self._waiter = self._waiter, None
        self._watch.clear()
        self.used = True
        if waiter is None or waiter.done():  # done: whoever waited has been cancelled
            return
        if isinstance(outcome, UpstreamError):
            waiter.set_exception(outcome)
        else:
            waiter.set_result(outcome)


def _first_head(buffer: bytes) -> _Head | None:
    """The head at the beginning; None while it is not complete."""
    end = buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end >= 0:
        return _read_head(buffer[: end + 2])
    if len(buffer) >= MAX_HEAD:
        raise UpstreamError(f"head of over {MAX_HEAD} bytes")
    return None


@lru_cache(256)  # within a second (the Date) an arm's heads differ only by their length
def _read_head(head: bytes) -> _Head:
    match = _STATUS.match(head)
    if match is None:
        raise UpstreamError(f"status line {head[:40]!r}")
    length, keep = _framing(head)
    return _Head(int(match[1]), len(head) + 2, length, keep)


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
