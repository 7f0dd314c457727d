"""The answer to a plain request: the same bytes by either way, and an end that is said."""

import asyncio

import pytest

from load_balancer.http import Send, answer
from load_balancer.plain_send import PlainSend

REQUEST_ID = (b"x-request-id", b"r1")


def sent(*, messages: bool, is_last: bool = False) -> tuple[bytes, bool]:
    """An answer as it leaves, and whether the connection stays."""
    written: list[bytes] = []
    plain = PlainSend(written.append, lambda: is_last)

    async def by_messages(message: dict[str, object]) -> None:
        await plain(message)

    send: Send = by_messages if messages else plain  # type: ignore[assignment]
    asyncio.run(answer(send, 200, b"application/json", b'{"a":1}', REQUEST_ID))
    assert plain.complete
    (only,) = written  # in one write
    return only, plain.keep


def parts(answered: bytes) -> tuple[bytes, set[bytes], bytes]:
    head, _, body = answered.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert len(set(lines)) == len(lines)
    return first, {line for line in lines if not line.startswith(b"Date: ")}, body


@pytest.mark.parametrize("messages", [True, False], ids=["two messages", "whole"])
def test_an_answer_leaves_with_all_that_belongs_to_it(messages: bool) -> None:
    answered, keep = sent(messages=messages)
    first, lines, body = parts(answered)
    assert (first, body, keep) == (b"HTTP/1.1 200 OK", b'{"a":1}', True)
    assert lines == {
        b"content-type: application/json",
        b"content-length: 7",
        b"cache-control: no-store",
        b"x-content-type-options: nosniff",
        b"x-request-id: r1",
    }


@pytest.mark.parametrize("messages", [True, False], ids=["two messages", "whole"])
def test_the_last_answer_of_a_connection_says_so(messages: bool) -> None:
    answered, keep = sent(messages=messages, is_last=True)
    assert b"connection: close" in parts(answered)[1]
    assert not keep
