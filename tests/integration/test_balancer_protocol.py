"""A viewer's connection, served within this process over real sockets by an application that waits to be let go."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
import uvloop
from gunicorn.config import Config

from core.http_server import RootLogger
from load_balancer.http import Receive, Scope, Send
from load_balancer.protocol import Protocol

HEAD = b" HTTP/1.1\r\nHost: a\r\n\r\n"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close that throws away what is under way


class Stage:
    """The server's side and one client. Requests wait in the application until `go` is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.filling = b""
        self.protocol: Protocol
        self.client: socket.socket
        loop = asyncio.get_running_loop()
        config = Config()
        for name, value in {"http_parser": "python", "worker_connections": 10}.items():
            config.set(name, value)
        self.worker = SimpleNamespace(
            cfg=config,
            log=RootLogger(config),
            asgi=self.application,
            loop=loop,
            nr=0,
            nr_conns=0,
            max_requests=1000,
            alive=True,
        )

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        await self.go.wait()
        turn = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turn.set_result, None)
        await turn  # as for an answer of an arm
        body = f"<{scope['path']}>".encode() + self.filling
        length = str(len(body)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": body})

    def accept(self) -> Protocol:
        self.protocol = Protocol(self.worker)
        return self.protocol

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.client, data)

    async def read_until(self, end: bytes) -> bytes:
        read = b""
        while end not in read:
            more = await asyncio.get_running_loop().sock_recv(self.client, 65536)
            assert more, read
            read += more
        return read


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


def on_stage(use: Callable[[Stage], Awaitable[None]]) -> None:
    async def run() -> None:
        stage = Stage()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(stage.accept, "127.0.0.1", 0)
        with socket.socket() as stage.client:
            stage.client.setblocking(False)
            await loop.sock_connect(stage.client, server.sockets[0].getsockname())
            async with asyncio.timeout(20):
                await use(stage)
        server.close()

    uvloop.run(run())


def test_what_comes_while_a_plain_request_is_served_is_read_in_its_order() -> None:
    async def use(stage: Stage) -> None:
        await stage.send(b"GET /recommend/u1" + HEAD)
        await until(lambda: stage.asked == ["/recommend/u1"])
        await stage.send(b"GET /recommend/u2 HT")
        await until(lambda: stage.protocol._behind_plain == b"GET /recommend/u2 HT")
        await stage.send(b"TP/1.1\r\nHost: a\r\n\r\nGET /recommend/u3" + HEAD)  # stays with the kernel
        stage.go.set()
        await stage.read_until(b"</recommend/u3>")
        assert stage.asked == ["/recommend/u1", "/recommend/u2", "/recommend/u3"]

    on_stage(use)


@pytest.mark.parametrize("target", [b"/recommend/u1", b"/readyz"], ids=["plain", "gunicorn's"])
def test_a_viewer_who_will_send_no_more_gets_the_answer_and_the_connection_ends(target: bytes) -> None:
    async def use(stage: Stage) -> None:
        await stage.send(b"GET " + target + HEAD)
        await until(lambda: stage.asked == [target.decode()])
        stage.client.shutdown(socket.SHUT_WR)
        await until(lambda: stage.protocol._is_last)
        stage.go.set()
        await stage.read_until(b"<" + target + b">")
        assert await asyncio.get_running_loop().sock_recv(stage.client, 65536) == b""

    on_stage(use)


def test_what_was_sent_before_the_half_close_is_all_answered() -> None:
    async def use(stage: Stage) -> None:
        stage.go.set()
        await stage.send(b"GET /recommend/u1" + HEAD + b"GET /recommend/u2" + HEAD)
        stage.client.shutdown(socket.SHUT_WR)
        await stage.read_until(b"</recommend/u2>")
        assert stage.asked == ["/recommend/u1", "/recommend/u2"]

    on_stage(use)


def test_half_a_request_and_no_more_ends_the_connection() -> None:
    async def use(stage: Stage) -> None:
        await stage.send(b"GET /recommend/u1 HT")
        stage.client.shutdown(socket.SHUT_WR)
        assert await asyncio.get_running_loop().sock_recv(stage.client, 65536) == b""
        assert stage.asked == []

    on_stage(use)


def test_a_viewer_who_sends_faster_than_we_answer_is_read_no_faster() -> None:
    async def use(stage: Stage) -> None:
        stage.filling = b"x" * 1000
        request = b"GET /readyz?" + b"y" * 3000 + HEAD
        sending = asyncio.ensure_future(stage.send(request * 900 + b"GET /last" + HEAD))
        await until(lambda: stage.protocol._reading_paused)
        stage.go.set()
        most, read = 0, b""
        while b"</last>" not in read:
            read = read[-10:] + await asyncio.get_running_loop().sock_recv(stage.client, 65536)
            most = max(most, stage.protocol._http1_buffered())
        await sending
        assert len(stage.asked) == 901
        assert most <= 2 * stage.protocol._max_buffer_size  # the limit, and the packet that went beyond it

    on_stage(use)


def test_an_upgrade_to_a_websocket_is_passed_over() -> None:
    async def use(stage: Stage) -> None:
        stage.go.set()
        await stage.send(
            b"GET /recommend/u1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert (await stage.read_until(b"</recommend/u1>")).startswith(b"HTTP/1.1 200 ")

    on_stage(use)


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
def test_a_viewer_who_leaves_before_the_answer_is_no_error(
    caplog: pytest.LogCaptureFixture, reset: bool
) -> None:
    async def use(stage: Stage) -> None:
        await stage.send(b"GET /recommend/u1" + HEAD)
        await until(lambda: stage.asked == ["/recommend/u1"])
        if reset:
            stage.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        stage.client.close()
        # A close looks like the end of what the viewer has to say: the answer may still be waited for.
        await until(lambda: stage.worker.nr_conns == 0 if reset else stage.protocol._is_last)
        stage.go.set()
        await until(lambda: stage.worker.nr == 1 and stage.worker.nr_conns == 0)

    with caplog.at_level(logging.WARNING):
        on_stage(use)
    assert caplog.messages == []


def test_a_viewer_who_is_gone_before_the_request_is_read_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def use(stage: Stage) -> None:
        # All of it before the loop has its turn: when it reads the request, the connection has no address any more.
        with socket.create_connection(stage.client.getpeername()) as hasty:
            hasty.sendall(b"GET /recommend/u1" + HEAD)
            hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        stage.go.set()
        await until(lambda: stage.asked == ["/recommend/u1"])

    with caplog.at_level(logging.WARNING):
        on_stage(use)
    assert caplog.messages == []


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("request_head", [HEAD, b" HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"])
def test_a_viewer_who_never_reads_does_not_keep_the_connection(
    last: bool, request_head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("load_balancer.protocol.UNREAD_S", 0.1)

    async def use(stage: Stage) -> None:
        stage.filling = b"x" * 16 * 1024 * 1024  # more than the kernel takes
        await stage.send(b"GET /recommend/u1" + request_head)
        await until(lambda: stage.asked == ["/recommend/u1"])
        if last:  # nothing pauses, and the connection waits for its end
            stage.protocol.transport.set_write_buffer_limits(high=64 * 1024 * 1024)
            stage.worker.alive = False
        stage.go.set()
        await until(lambda: stage.worker.nr_conns == 0)

    on_stage(use)
