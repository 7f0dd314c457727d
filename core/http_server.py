"""Runs a WSGI or ASGI application under gunicorn inside this process: no configuration file, no second tool."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger


class RootLogger(Logger):  # type: ignore[misc]  # gunicorn is not typed
    """Sends gunicorn's lines through the root logger, so that a process has one format; no access log."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True
        self.error_log.setLevel(logging.INFO)


class _Application(BaseApplication):  # type: ignore[misc]
    def __init__(self, build: Callable[[], object], options: Mapping[str, Any]) -> None:
        self._build = build
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> object:
        return self._build()


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
    # RFC 9112 asks for 8,000; no address of ours comes near 4,094 (414 beyond it).
    "limit_request_line": 4094,
    # 431 beyond 100 headers, or one of 8,190 bytes.
    "limit_request_fields": 100,
    "limit_request_field_size": 8190,
}


def serve(build: Callable[[], object], **options: Any) -> None:
    """Fork the workers, call `build` in each of them, and serve what it returns until SIGTERM.

    `options` are gunicorn's settings by name. Returns never: the process exits with gunicorn's code.
    """
    _Application(build, {**_COMMON, **options}).run()
