"""Reading bodies within limits."""

import asyncio
from collections.abc import Iterable, MutableMapping
from typing import Any

import pytest

from load_balancer.http import GoneError, ProblemError, read_body


def read(messages: Iterable[dict[str, Any]], *headers: tuple[bytes, bytes], limit: int = 10) -> bytes:
    queue = iter(messages)

    async def receive() -> MutableMapping[str, Any]:
        try:
            return next(queue)
        except StopIteration:
            await asyncio.Event().wait()
            raise

    return asyncio.run(read_body({"headers": list(headers)}, receive, limit, 0.05))


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_may_come_in_parts() -> None:
    assert read([part(b"abc", more=True), part(b"", more=True), part(b"de", more=False)]) == b"abcde"
    assert read([part(b"x" * 10, more=False)]) == b"x" * 10


def test_too_large_is_413_announced_or_not() -> None:
    for messages, headers in (
        ([], [(b"content-length", b"11")]),
        ([part(b"x" * 6, more=True), part(b"x" * 5, more=True)], []),
    ):
        with pytest.raises(ProblemError) as caught:
            read(messages, *headers)
        assert caught.value.status == 413


def test_a_body_that_does_not_end_is_408() -> None:
    with pytest.raises(ProblemError) as caught:
        read([part(b"abc", more=True)])
    assert caught.value.status == 408


def test_a_client_that_goes_away_gets_no_answer() -> None:
    with pytest.raises(GoneError):
        read([part(b"abc", more=True), {"type": "http.disconnect"}])
