"""Requests that nobody would send on purpose, by the thousand, against a real load balancer: it stays up and honest."""

from __future__ import annotations

import asyncio
import random
import re
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.fake_arm import requests_seen
from tests.serving import Running, Stage, http_get, open_stage
from tests.support import children_of

EVENT: Final = b'{"user_id":"u1","video_id":"m1","event_type":"view","details":{"source":"home"},"timestamp":"2020-01-01T00:00:00Z"}'
SEEDS: Final = (
    b"GET /recommend/u1?count=5&exclude=m1 HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n",
    b"GET /recommend/u1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
    b"GET /videos/m1/similar?count=3 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /search?q=love%20story HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(EVENT), EVENT),
    b"POST /events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
    % (len(EVENT), EVENT),
)  # fmt: skip
# What smuggles, splits, escapes or overflows; ELSEWHERE stands for a server that was never configured.
PIECES: Final = (
    b"Content-Length: 5\r\n", b"Content-Length: +5\r\n", b"Content-Length : 5\r\n", b"Content-Length: 5, 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding:\tchunked\r\n",
    b"Transfer-Encoding: identity\r\n", b" chunked\r\n", b"Host: ELSEWHERE\r\n", b"http://ELSEWHERE/recommend/u1", b"@ELSEWHERE",
    b"//ELSEWHERE/", b"X-Understudy-Request-Id: mine\r\n", b"Connection: X-Understudy-Request-Id\r\n", b"Upgrade: h2c\r\n",
    b"Expect: 100-continue\r\n", b"GET /recommend/u2 HTTP/1.1\r\nHost: ELSEWHERE\r\n\r\n", b"0\r\n\r\n", b"\r\n", b"\n", b"\r", b"\0",
    b"%00", b"%0d%0a", b"%zz", b"..%2f", b"\xff\xfe", b"\xc3\xa4", b"a" * 5000, b"X: y\r\n" * 101, b":", b" ", b"HTTP/1.0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)  # fmt: skip
# Whatever it was, it is complete with this, and the connection ends.
END: Final = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
ALLOWED: Final = {100, 200, 202, 400, 404, 405, 408, 411, 413, 414, 415, 431, 501, 503}
AT_ONCE: Final = 16
PATIENCE_S: Final = 30.0


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path) as stage:
        stage.publish(stage.arm("v1"))
        stage.balancer(UNDERSTUDY_BALANCER_BODY_MS="200")
        yield stage


def fuzzed(draw: random.Random, elsewhere: bytes) -> bytes:
    """One seed with one to four wounds."""
    data = bytearray(draw.choice(SEEDS))
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(5):
            case 0:
                data[at:at] = draw.choice(PIECES).replace(b"ELSEWHERE", elsewhere)
            case 1:
                del data[at : at + draw.randint(1, 8)]
            case 2:
                data[at : at + 1] = bytes([draw.randrange(256)])
            case 3:
                data[at:at] = data[max(0, at - 20) : at]
            case _:  # at the start of a line, where it counts
                line = data.find(b"\r\n", at) + 2 or len(data)
                data[line:line] = draw.choice(PIECES).replace(b"ELSEWHERE", elsewhere)
    return bytes(data)


async def answers(port: int, data: bytes) -> list[int]:
    """The statuses of everything that comes back before the load balancer closes."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data + END)
            said = await reader.read(-1)
        except ConnectionError:  # closed with something of ours unread
            said = b""
        writer.close()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", said)]


async def play(port: int, count: int, seed: int, elsewhere: bytes) -> Counter[int]:
    """Send `count` of them, some at a time."""
    draw, seen = random.Random(seed), Counter[int]()
    requests = (fuzzed(draw, elsewhere) for _ in range(count))

    async def one_after_the_other() -> None:
        for data in requests:
            seen.update(await answers(port, data))

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    return seen


def check(stage: Stage, count: int, seed: int) -> None:
    arm, balancer = stage.running
    worker = children_of(balancer.process.pid)
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        name = b"127.0.0.1:%d" % elsewhere.getsockname()[1]
        seen = asyncio.run(play(_port(balancer), count, seed, name))
        print(f"\n{count:,} fuzzed requests, seed {seed}: {dict(sorted(seen.items()))}")
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert seen.keys() <= ALLOWED
    assert {200, 400} <= seen.keys()
    assert children_of(balancer.process.pid) == worker
    assert http_get(f"{balancer.url}/recommend/u1").status == 200
    assert "Traceback" not in balancer.log.read_text()
    for head in requests_seen(arm.url):
        first, *fields = head.strip().split("\r\n")
        assert re.fullmatch(r"GET /(recommend|videos|search|trending)[!-~]* HTTP/1\.1", first)
        assert "mine" not in head
        assert fields[0] == f"Host: {arm.url.removeprefix('http://')}"


def test_thousands_of_fuzzed_requests(stage: Stage) -> None:
    check(stage, 2_000, seed=1)


@pytest.mark.timeout(7_200)
@pytest.mark.long
def test_a_million_fuzzed_requests(stage: Stage) -> None:
    check(stage, 1_000_000, seed=2)


def _port(balancer: Running) -> int:
    return int(balancer.url.rpartition(":")[2])
