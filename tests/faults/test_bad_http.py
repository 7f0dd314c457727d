"""Bad HTTP against a real load balancer over raw sockets: every row of the table, and nothing reaches an arm."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter

import pytest

from tests.fake_arm import requests_seen, set_mode
from tests.serving import Running, Stage, http_get, open_stage
from tests.support import wait_until

EVENT = b'{"user_id":"u1","video_id":"m1","event_type":"view","details":{"source":"home"},"timestamp":"2020-01-01T00:00:00Z"}'
BODY_MS = "500"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("bad-http")) as stage:
        stage.publish(stage.arm("v1"))
        stage.balancer(UNDERSTUDY_BALANCER_BODY_MS=BODY_MS)
        yield stage


@pytest.fixture
def arm(stage: Stage) -> Running:
    return stage.running[0]


@pytest.fixture
def balancer(stage: Stage) -> Iterator[Running]:
    """The load balancer, which must be well after whatever the test did to it."""
    balancer = stage.running[1]
    yield balancer
    assert http_get(f"{balancer.url}/recommend/u1").status == 200


@contextmanager
def connection(balancer: Running) -> Iterator[socket.socket]:
    host, port = balancer.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as opened:
        yield opened


def raw(balancer: Running, request: bytes) -> int:
    """The status of the first answer to these bytes; 0 if the connection is closed without one."""
    with connection(balancer) as opened:
        opened.sendall(request)
        return status_of(opened)


def status_of(opened: socket.socket) -> int:
    with opened.makefile("rb") as stream:
        line = stream.readline()
    return int(line.split()[1]) if line else 0


def get(target: bytes = b"/recommend/u1", *headers: bytes, host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", host, *headers, b"", b""])


def post(*headers: bytes, body: bytes = EVENT, version: bytes = b"HTTP/1.1") -> bytes:
    head = [b"POST /events " + version, b"Host: a", b"Content-Type: application/json", *headers, b"", b""]
    return b"\r\n".join(head) + body


LENGTH = b"Content-Length: %d" % len(EVENT)
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(EVENT), EVENT)


def test_the_same_requests_without_a_fault_are_taken(balancer: Running) -> None:
    assert raw(balancer, get()) == 200
    assert raw(balancer, post(LENGTH)) == 202
    assert raw(balancer, post(CHUNKED, body=CHUNKS)) == 202


@pytest.mark.parametrize(
    "head", [b"nonsense", b" / HTTP/1.1\r\nHost: a", b"GET / HTTP/1.1\r\nHost: a\r\n: nothing"]
)
def test_what_cannot_be_read_is_answered_with_a_reason(balancer: Running, head: bytes) -> None:
    with connection(balancer) as opened:
        opened.sendall(head + b"\r\n\r\n")
        answer = opened.makefile("rb").read()  # and the connection is closed
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]


@pytest.mark.parametrize(
    ("row", "request_bytes"),
    [
        ("H1 length and chunks", post(LENGTH, CHUNKED, body=CHUNKS)),
        ("H2 two lengths", post(LENGTH, LENGTH)),
        ("H2 two different lengths", post(LENGTH, b"Content-Length: 5")),
        ("H3 a list of lengths", post(b"Content-Length: 5, 5")),
        ("H4 a length with a sign", post(b"Content-Length: +4")),
        ("H5 a negative length", post(b"Content-Length: -1")),
        ("a length of more digits than Python reads", post(b"Content-Length: " + b"9" * 5_000)),
        ("H7 chunks in HTTP/1.0", post(CHUNKED, body=CHUNKS, version=b"HTTP/1.0")),
        ("H9 a space before the colon", get(b"/recommend/u1", b"X-A : b")),
        ("H10 a bare line feed", b"GET /recommend/u1 HTTP/1.1\nHost: a\n\n"),
        ("H10 a bare line feed within", b"GET /recommend/u1 HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n"),
        ("H11 a folded header", get(b"/recommend/u1", b"X-A: b\r\n c")),
        ("H12 NUL in a header", get(b"/recommend/u1", b"X-A: b\0c")),
        ("H12 NUL in the path", get(b"/recommend/u\0")),
        ("H13 two hosts", get(b"/recommend/u1", b"Host: b")),
        ("no host at all", b"GET /recommend/u1 HTTP/1.1\r\nAccept: */*\r\n\r\n"),
        ("H14 a raw UTF-8 path", get("/recommend/ü".encode())),
        ("H23 a bad chunk", post(CHUNKED, body=b"zz\r\n" + EVENT)),
        ("H23 a chunk with a sign", post(CHUNKED, body=b"+4\r\nabcd\r\n0\r\n\r\n")),
    ],
)
def test_malformed_is_400(balancer: Running, row: str, request_bytes: bytes) -> None:
    assert raw(balancer, request_bytes) == 400, row


@pytest.mark.parametrize("coding", [b"xchunked", b"identity", b"gzip, chunked"])
def test_transfer_codings_we_do_not_know(balancer: Running, coding: bytes) -> None:
    # H6 (identity) and H8 (xchunked)
    assert raw(balancer, post(b"Transfer-Encoding: " + coding, body=CHUNKS)) in {400, 501}


@pytest.mark.parametrize(
    ("row", "request_bytes", "status"),
    [
        ("H15 a request line of 5 KB", get(b"/recommend/" + b"x" * 5_000), 414),
        ("H16 a header of 9 KB", get(b"/recommend/u1", b"X-A: " + b"b" * 9_000), 431),
        ("H16 101 headers", get(b"/recommend/u1", *(b"X-%d: b" % i for i in range(101))), 431),
        ("H25 2 MB announced", post(b"Content-Length: 2000000", body=b""), 413),
        ("H25 2 MB in chunks", post(CHUNKED, body=b"200000\r\n" + b" " * 0x200000 + b"\r\n0\r\n\r\n"), 413),
        ("H31 a wrong method", b"POST /recommend/u1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
        ("H31 a wrong method on events", get(b"/events"), 405),
        ("H31 a wrong type", b"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 415),
    ],
)
def test_limits_have_their_own_status(balancer: Running, row: str, request_bytes: bytes, status: int) -> None:
    assert raw(balancer, request_bytes) == status, row


@pytest.mark.parametrize(
    "target",
    [b"//evil.example/recommend/u1", b"/recommend/..%2f..%2fmode%2fslow", b"/recommend/u1%0d%0aX-A:%20b", b"/recommend/u%00",
     b"/recommend/u%zz", b"@evil.example/recommend/u1", b"/recommend/@evil.example", b"http://evil.example/mode/slow",
     b"/recommend/../mode/slow", b"/recommend//u1", b"/recommend/u1/", b"/recommend/u1;a=b", b"*", b"evil.example:80"],
)  # fmt: skip
def test_targets_that_would_lead_elsewhere_lead_nowhere(
    balancer: Running, arm: Running, target: bytes
) -> None:
    before = requests_seen(arm.url)
    assert raw(balancer, get(target)) in {400, 404}
    assert requests_seen(arm.url) == before


@pytest.mark.parametrize("user_id", [b"", b"x" * 65, b"%D9%A3", b"u1%0a", b"%20", b"-"])
def test_a_user_id_that_is_none_is_400(balancer: Running, user_id: bytes) -> None:
    assert raw(balancer, get(b"/recommend/" + user_id)) == 400  # H28


@pytest.mark.parametrize("count", [b"0", b"-1", b"1e9", b"1e3", b"NaN", b"1&count=1", b"%31%00"])
def test_a_count_that_is_none_is_400(balancer: Running, count: bytes) -> None:
    assert raw(balancer, get(b"/recommend/u1?count=" + count)) == 400  # H30


def test_a_body_shorter_than_declared_is_408(balancer: Running) -> None:
    assert raw(balancer, post(b"Content-Length: 5000")) == 408  # H24


def test_clients_headers_do_not_reach_an_arm(balancer: Running, arm: Running) -> None:
    # H26, H27
    sent = [b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Proto: https", b"X-Understudy-Request-Id: mine",
            b"Connection: X-Understudy-Request-Id, Host", b"Cookie: a=b"]  # fmt: skip
    assert raw(balancer, get(b"/recommend/headers", *sent)) == 200
    (head,) = [head for head in requests_seen(arm.url) if "/recommend/headers" in head]
    lines = head.strip().split("\r\n")
    assert lines[0] == "GET /recommend/headers?count=20 HTTP/1.1"
    assert [line.partition(":")[0] for line in lines[1:]] == ["Host", "X-Understudy-Request-Id"]
    assert "mine" not in head


def all_answers(balancer: Running, request_bytes: bytes) -> bytes:
    """Everything that comes back until the load balancer closes the connection."""
    with connection(balancer) as opened, opened.makefile("rb") as stream:
        opened.sendall(request_bytes)
        return stream.read()


def test_a_body_on_a_get_is_not_the_next_request(balancer: Running, arm: Running) -> None:
    smuggled = get(b"/recommend/smuggled")
    close = b"Connection: close"
    answers = all_answers(
        balancer, get(b"/recommend/u1", b"Content-Length: %d" % len(smuggled), close) + smuggled
    )
    assert answers.count(b"HTTP/1.1 ") == 1
    assert not any("smuggled" in head for head in requests_seen(arm.url))


def test_requests_in_one_packet_are_answered_in_order(balancer: Running) -> None:
    requests = [get(b"/recommend/u%d?count=1" % i) for i in range(19)]
    answers = all_answers(
        balancer, b"".join([*requests, get(b"/recommend/u19?count=1", b"Connection: close")])
    )
    assert re.findall(rb'"user_id":"u([0-9]+)"', answers) == [b"%d" % i for i in range(20)]


def test_what_comes_behind_a_request_in_progress_waits_its_turn(balancer: Running, arm: Running) -> None:
    set_mode(arm.url, "slow")
    asked = len(requests_seen(arm.url))
    try:
        with connection(balancer) as opened, opened.makefile("rb") as stream:
            opened.sendall(get(b"/recommend/first?count=1"))
            wait_until(lambda: len(requests_seen(arm.url)) > asked, 5, "the first request at the arm")
            set_mode(arm.url, "ok")
            for name in (b"second", b"third"):
                opened.sendall(get(b"/recommend/" + name + b"?count=1"))
            opened.sendall(get(b"/recommend/last?count=1", b"Connection: close"))
            answers = stream.read()
    finally:
        set_mode(arm.url, "ok")
    assert re.findall(rb"HTTP/1.1 ([0-9]+)", answers) == [b"503", b"200", b"200", b"200"]
    assert re.findall(rb'"user_id":"([a-z]+)"', answers) == [b"second", b"third", b"last"]


def test_a_hundred_slow_senders_hold_up_nobody(balancer: Running) -> None:
    # F32
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            slow = stack.enter_context(connection(balancer))
            slow.sendall(b"POST /events HTTP/1.1\r\nHost: a\r\nContent-Ty")
        times = []
        for i in range(200):
            began = perf_counter()
            assert http_get(f"{balancer.url}/recommend/u{i}").status == 200
            times.append(perf_counter() - began)
    assert median(times) < 0.25
