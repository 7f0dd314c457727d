"""An arm that computes for some time at every request: `python -m tests.benchmarks.busy_arm PORT WORK_MS`."""

from __future__ import annotations

import asyncio
import sys
from time import thread_time
from typing import cast

import uvloop

from tests.benchmarks.serving_peers import body


class BusyArm(asyncio.Protocol):
    """One connection; requests come one packet each, as both wrk and the load balancer send them."""

    def __init__(self, work_s: float) -> None:
        self._work_s = work_s
        self._body = body()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class

    def data_received(self, data: bytes) -> None:
        until = thread_time() + self._work_s
        viewer = data.split(b" ", 2)[1].split(b"?")[0].rpartition(b"/")[2].decode()
        _, _, after = data.partition(b"X-Understudy-Request-Id: ")
        said = self._body.replace("$viewer", viewer)
        said = said.replace("$http_x_understudy_request_id", after.partition(b"\r\n")[0].decode())
        while thread_time() < until:
            pass
        self._transport.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(said)}\r\n\r\n{said}".encode())


async def _main(port: int, work_ms: float) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: BusyArm(work_ms / 1000), "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), float(sys.argv[2])))
