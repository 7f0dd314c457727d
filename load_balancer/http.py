"""The little of ASGI that the hot routes need: types, answers, and reading a body within limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any

from core.problems import PROBLEM_JSON, problem
from load_balancer.plain_send import PlainSend, lines, status_line

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
RETRY_AFTER: Header = (b"retry-after", b"1")
# A browser neither keeps an answer nor takes it for anything but what it says it is.
ALWAYS: tuple[Header, ...] = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class ProblemError(Exception):
    """Ends a request with an error answer."""

    def __init__(self, status: int, detail: str, *headers: Header, **members: object) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.body = problem(status, detail, **members)


class GoneError(Exception):
    """The client closed the connection: there is nobody to answer."""


async def answer(send: Send, status: int, content_type: bytes, body: bytes, *headers: Header) -> None:
    """Send a whole response."""
    if isinstance(send, PlainSend):  # without ASGI's two messages: a microsecond less
        opening = _opening(status, content_type)
        send.whole(b"%bcontent-length: %d\r\n%b" % (opening, len(body), lines(headers)), body)
        return
    length = str(len(body)).encode()
    start = [(b"content-type", content_type), (b"content-length", length), *ALWAYS]
    await send({"type": "http.response.start", "status": status, "headers": [*start, *headers]})
    await send({"type": "http.response.body", "body": body})


@cache  # a handful of statuses and types
def _opening(status: int, content_type: bytes) -> bytes:
    return status_line(status) + lines([(b"content-type", content_type), *ALWAYS])


async def answer_problem(send: Send, error: ProblemError) -> None:
    await answer(send, error.status, PROBLEM_JSON.encode(), error.body, *error.headers)


def without_body(send: Send) -> Send:
    """The answer to HEAD: as to GET, its length included, but without the body itself."""

    async def send_head(message: MutableMapping[str, Any]) -> None:
        await send({**message, "body": b""} if "body" in message else message)

    return send_head


def check_reads(scope: Scope) -> None:
    """Let GET and HEAD pass.

    Raises:
        ProblemError: 405, another method.
    """
    if scope["method"] not in {"GET", "HEAD"}:
        raise ProblemError(405, "only GET and HEAD are taken here", (b"allow", b"GET, HEAD"))


def header(scope: Scope, name: bytes) -> bytes:
    """The first header of this lower-case name, or nothing."""
    return next((value for key, value in scope["headers"] if key == name), b"")


def listed(scope: Scope, name: bytes) -> bytes:
    """A header whose value is a list, which may come on several lines (RFC 9110, section 5.3); or nothing."""
    return b",".join([value for key, value in scope["headers"] if key == name])


async def read_body(scope: Scope, receive: Receive, limit: int, timeout_s: float) -> bytes:
    """The whole body.

    Raises:
        ProblemError: 413 beyond `limit` bytes, announced or sent; 408 if it is not here in time.
        GoneError: the client closed the connection in the middle.
    """
    announced = header(scope, b"content-length")
    if announced.isdigit() and int(announced) > limit:
        raise ProblemError(413, f"a body of {int(announced)} bytes; at most {limit} are taken")
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError
                body += message.get("body", b"")
                if len(body) > limit:
                    raise ProblemError(413, f"a body of over {limit} bytes")
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise ProblemError(408, f"the body was not complete within {timeout_s:g} s") from None
