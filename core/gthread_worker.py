"""gunicorn's gthread worker, whose few threads nobody holds for long: not who says nothing, not who says it slowly."""

from __future__ import annotations

import contextlib
import socket
from time import monotonic
from typing import Any, Final

from gunicorn.workers.gthread import _DEFER, ThreadWorker

EVERY_S: Final = 0.5  # how often the threads are looked at


class BoundedWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn is not typed
    """Serves a WSGI application. Head, body and answer of a request have `most_s` seconds together.

    gunicorn's own waits for ever for the rest of a request, and five seconds for the first byte of a connection,
    such as browsers open in advance; either way in one of its threads.
    """

    most_s = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._since: dict[Any, float] = {}  # the connections that have a thread
        self._look_at = 0.0

    def handle(self, conn: Any) -> Any:
        """Serve one request in a thread of the pool; returns whether the connection is kept."""
        if not conn.initialized and not conn.wait_for_data(0):
            return _DEFER  # the main loop waits for its first byte
        self._since[conn] = monotonic()
        try:
            return self.serve(conn)
        finally:
            del self._since[conn]

    def serve(self, conn: Any) -> Any:
        """As `handle`, of a connection on which something has come."""
        return super().handle(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close what has been idle for too long, as gunicorn does at every turn of its main loop, and what is late."""
        super().murder_keepalived(force)
        now = monotonic()
        if now < self._look_at:
            return
        self._look_at = now + EVERY_S
        for conn, since in self._since.copy().items():
            if now - since > self.most_s:
                with contextlib.suppress(OSError):  # it has just ended
                    conn.sock.shutdown(socket.SHUT_RDWR)
