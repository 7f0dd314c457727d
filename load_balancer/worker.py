"""The gunicorn worker of the load balancer: its asgi worker, acting on SIGTERM at once instead of within a second."""

from __future__ import annotations

import asyncio
import os

from gunicorn.arbiter import Arbiter
from gunicorn.asgi.lifespan import LifespanManager
from gunicorn.workers.gasgi import ASGIWorker

from load_balancer.protocol import Protocol


class Worker(ASGIWorker):  # type: ignore[misc]
    """Serves `Protocol` on uvloop until SIGTERM."""

    def handle_exit_signal(self) -> None:
        super().handle_exit_signal()
        self._ending.set()

    def handle_quit_signal(self) -> None:
        super().handle_quit_signal()
        self._ending.set()

    async def _serve(self) -> None:
        self._ending = asyncio.Event()
        self.lifespan = LifespanManager(self.asgi, self.log, self.state)
        try:
            await self.lifespan.startup()
        except RuntimeError as error:
            self.log.critical("the load balancer cannot start: %s", error)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None
        for bound in self.sockets:
            self.servers.append(await self.loop.create_server(lambda: Protocol(self), sock=bound.sock))
            self.log.info("ASGI server listening on %s", bound)
        await self._until_told()
        await self._shutdown()

    async def _until_told(self) -> None:
        """Give the parent its signs of life; return on a signal, or when the parent is gone."""
        while self.alive and self.ppid == os.getppid():
            self.notify()
            try:
                async with asyncio.timeout(1.0):
                    await self._ending.wait()
            except TimeoutError:
                continue
