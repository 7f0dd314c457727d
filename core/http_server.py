"""Runs a WSGI or ASGI application under gunicorn inside this process: no configuration file, no second tool."""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger


class RootLogger(Logger):  # type: ignore[misc]  # gunicorn is not typed
    """Sends gunicorn's lines through the root logger, so that a process has one format; no access log."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True
        self.error_log.setLevel(logging.INFO)


class Drain:
    """The time between SIGTERM and the close of the listening socket: not ready any more, still answering.

    Whoever sends us viewers looks at /readyz and has that long to send them elsewhere. Made before the fork,
    begun in the parent, seen by every worker. A reload is none: the next worker is there before the old one goes.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._begun = mmap.mmap(-1, 1)  # one byte, shared with the processes forked from now on

    def begin(self) -> None:
        self._begun[0] = 1

    def problem(self) -> str | None:
        """A check for /readyz."""
        return "it is stopping" if self._begun[0] else None


class _DrainingArbiter(Arbiter):  # type: ignore[misc]
    """The parent of the workers. On SIGTERM it drains before it stops them; a second SIGTERM stops them at once."""

    def __init__(self, app: BaseApplication, drain: Drain) -> None:
        super().__init__(app)
        self._drain = drain
        self._drained_at: float | None = None

    def handle_term(self) -> None:
        if self._drained_at is not None or not self._drain.seconds:
            raise StopIteration  # gunicorn's word for: stop gracefully
        self._drain.begin()
        self._drained_at = monotonic() + self._drain.seconds
        self.log.info("not ready any more, stopping in %g s", self._drain.seconds)

    def wait_for_signals(self, timeout: float = 1.0) -> Any:
        if self._drained_at is None:
            return super().wait_for_signals(timeout)
        left = self._drained_at - monotonic()
        if left <= 0:
            raise StopIteration
        return super().wait_for_signals(min(timeout, left))


class _Application(BaseApplication):  # type: ignore[misc]
    def __init__(self, build: Callable[[], object], drain: Drain, options: Mapping[str, Any]) -> None:
        self._build = build
        self._drain = drain
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> object:
        return self._build()

    def run(self) -> None:
        _DrainingArbiter(self, self._drain).run()


# What every service of ours shares.
_COMMON: Mapping[str, Any] = {
    "logger_class": RootLogger,
    # Built after the fork, always: threads, connections and Chroma's index do not survive one.
    "preload_app": False,
    # gunicorn's own remote control: nobody needs it, so it is not there.
    "control_socket_disable": True,
    # The other parser takes a bare LF for a line's end and folded headers: smuggling.
    "http_parser": "python",
    # No header of a client changes scheme or address, whoever sends it.
    "forwarded_allow_ips": "",
    "secure_scheme_headers": {},
    # RFC 9112 asks for 8,000; ours come near 4,094 only with a hundred long ids to exclude (414 beyond it).
    "limit_request_line": 4094,
    # 431 beyond 100 headers, or one of 8,190 bytes.
    "limit_request_fields": 100,
    "limit_request_field_size": 8190,
}


def serve(build: Callable[[], object], drain: Drain | None = None, **options: Any) -> None:
    """Fork the workers, call `build` in each of them, and serve what it returns until SIGTERM.

    `drain` is for services whose /readyz somebody heeds; without one the listening socket closes at once.
    `options` are gunicorn's settings by name. Returns never: the process exits with gunicorn's code.
    """
    _Application(build, drain or Drain(0), {**_COMMON, **options}).run()
