"""A control plane that a browser can open."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server


class _Unlogged(WSGIRequestHandler):
    """An open page asks on while the test that opened it ends, when its log may be closed already."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: what a page asked for is asserted in the browser."""


@contextmanager
def served(application: Flask) -> Iterator[str]:
    """The application on loopback for as long as the block lasts; its address."""
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Unlogged)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
