"""The threads of a service are few: whoever says nothing, or says it slowly, does not keep one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.serving import Running, http_get, open_stage
from tests.support import free_port, wait_until

ONE_THREAD = """
import sys
from core.gthread_worker import BoundedWorker
from core.http_server import serve

class Impatient(BoundedWorker):
    most_s = 0.2

def application(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

serve(lambda: application, bind=f"127.0.0.1:{sys.argv[1]}", worker_class=Impatient, threads=1, keepalive=60)
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home: Path = tmp_path_factory.mktemp("service")
    with open_stage(home) as stage:
        port = free_port()
        running = stage.start("service", port, ["-c", ONE_THREAD, str(port)])
        wait_until(running.ready, 20, "the service")
        yield running


def connect(service: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), timeout=20)


def test_those_who_say_nothing_hold_up_nobody(service: Running) -> None:
    with ExitStack() as silent:
        for _ in range(30):  # gunicorn's own worker would wait five seconds for each
            silent.enter_context(connect(service))
        assert http_get(service.url).status == 200


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nbody"],
    ids=["head", "body"],
)
def test_who_does_not_come_to_an_end_is_cut_off(service: Running, said: bytes) -> None:
    with connect(service) as slow:
        slow.sendall(said)
        assert slow.recv(1000) == b""
        assert http_get(service.url).status == 200
