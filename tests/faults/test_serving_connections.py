"""The load balancer's connections: too many, too slow, and what they see while it stops."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.serving import Running, Stage, http_get, open_stage
from tests.support import wait_until


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path) as stage:
        stage.publish(stage.arm("v1"))
        yield stage


def connect(balancer: Running) -> socket.socket:
    host, port = balancer.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def told(opened: socket.socket) -> tuple[bytes, dict[str, object]]:
    """Head and problem document of the answer after which the server closes."""
    with opened.makefile("rb") as stream:
        head, _, body = stream.read().partition(b"\r\n\r\n")
    return head, json.loads(body or b"{}")


def test_one_connection_too_many_is_turned_away_and_the_others_are_served(stage: Stage) -> None:
    balancer = stage.balancer(UNDERSTUDY_BALANCER_CONNECTIONS="10", UNDERSTUDY_BALANCER_KEEPALIVE_S="75")
    head = b""
    while not head:  # where the machine stood still for the five seconds of a head, the others had ended
        with ExitStack() as held:
            # Those that asked whether it is ready may still hold some of the ten.
            opened = [held.enter_context(connect(balancer)) for _ in range(11)]
            head, problem = told(opened.pop())
            if head:
                opened[0].sendall(b"GET /recommend/u1 HTTP/1.1\r\nHost: a\r\n\r\n")
                assert opened[0].recv(65536).startswith(b"HTTP/1.1 200 ")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in head
    assert problem["detail"] == "too many connections"
    wait_until(balancer.ready, 20, "room again")


def test_more_load_than_it_bears_is_turned_away_and_health_is_answered(stage: Stage) -> None:
    balancer = stage.balancer(UNDERSTUDY_BALANCER_LATE_MS="1")
    several = b"GET /recommend/u1 HTTP/1.1\r\nHost: a\r\n\r\n" * 50
    told: list[bytes] = []
    with ExitStack() as held:
        opened = [held.enter_context(connect(balancer)) for _ in range(40)]

        def turned_away() -> bool:
            for each in opened:
                each.sendall(several)
            assert http_get(f"{balancer.url}/livez").status == 200
            told.extend(each.recv(1 << 20) for each in opened)
            return any(b"too much to do at the moment" in answers for answers in told)

        wait_until(turned_away, 60, "a viewer turned away")
    statuses = {status for answers in told for status in re.findall(rb"HTTP/1.1 ([0-9]+)", answers)}
    assert statuses == {b"200", b"503"}
    assert "understudy_shed_total 0.0" not in http_get(f"{balancer.url}/metrics").data.decode()
    wait_until(lambda: http_get(f"{balancer.url}/recommend/u1").status == 200, 20, "room again")


def test_a_head_that_does_not_come_is_408_and_others_do_not_wait_for_it(stage: Stage) -> None:
    # F32: a hundred sockets that send nothing more than half a head
    balancer = stage.balancer()
    with ExitStack() as slow:
        sockets = [slow.enter_context(connect(balancer)) for _ in range(100)]
        for opened in sockets:
            opened.sendall(b"GET /recommend/u1 HTTP/1.1\r\nHost:")
        assert {http_get(f"{balancer.url}/recommend/u{n}").status for n in range(50)} == {200}
        for opened in sockets:
            head, problem = told(opened)
            assert head.startswith(b"HTTP/1.1 408 ")
            assert "head was not complete" in str(problem["detail"])


def test_what_the_server_itself_refuses_is_a_problem_document(stage: Stage) -> None:
    with connect(stage.balancer()) as opened:
        opened.sendall(b"GET /" + b"a" * 6000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        head, problem = told(opened)
    assert b"application/problem+json" in head
    assert problem["status"] == 414


def test_sigterm_is_not_ready_first_and_a_second_one_ends_it(stage: Stage) -> None:
    balancer = stage.balancer(UNDERSTUDY_BALANCER_DRAIN_MS="120000")
    balancer.process.send_signal(signal.SIGTERM)
    wait_until(lambda: http_get(f"{balancer.url}/readyz").status == 503, 20, "not ready")
    assert http_get(f"{balancer.url}/readyz").json()["problems"] == {"process": "it is stopping"}
    assert http_get(f"{balancer.url}/recommend/u1").status == 200
    assert balancer.terminate() == 0


def test_the_drain_ends_by_itself(stage: Stage) -> None:
    balancer = stage.balancer(UNDERSTUDY_BALANCER_DRAIN_MS="300")
    assert balancer.terminate() == 0
    assert "not ready any more" in balancer.log.read_text()
