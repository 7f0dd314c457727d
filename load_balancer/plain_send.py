"""The answer to a plain request (protocol.py): head and body leave in one write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

from gunicorn.asgi.protocol import _get_cached_date_header, _get_cached_status_line


class PlainSend:
    """ASGI's `send` of one plain request, and `whole` for an application that has all of its answer at once.

    `write` bears that nobody is there any more: an exposure to a viewer who gave up counts like any other.
    `is_last` is asked whether the connection ends with this answer only when it is written: a worker that was told
    to stop meanwhile has to say so, or the next request would be sent into a connection that it closes.
    """

    __slots__ = ("_is_last", "_start", "_write", "complete", "keep")

    def __init__(self, write: Callable[[bytes], None], is_last: Callable[[], bool]) -> None:
        self._write = write
        self._is_last = is_last
        self._start: MutableMapping[str, Any] | None = None
        self.complete = False
        self.keep = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if self._start is None:
            self._start = message
        else:
            head = status_line(self._start["status"]) + lines(self._start["headers"])
            self.whole(head, message["body"])

    def whole(self, head: bytes, body: bytes) -> None:
        """What two messages say in ASGI; `head` without its empty line."""
        self.keep = not self._is_last()
        end = b"\r\n" if self.keep else b"connection: close\r\n\r\n"
        self._write(b"".join((head, _get_cached_date_header(), end, body)))
        self.complete = True


def lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as they are sent, each with its CRLF."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def status_line(status: int) -> bytes:
    line: bytes = _get_cached_status_line((1, 1), status)
    return line
