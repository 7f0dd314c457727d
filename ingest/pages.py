"""The reader's own small HTTP: /livez, /readyz, /metrics, /version. For probes and Prometheus, not for viewers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from core.errors import InvalidSettingError
from core.health import ALIVE, Readiness
from core.metrics import CONTENT_TYPE
from core.problems import PROBLEM_JSON, problem

JSON = "application/json"
Answer = tuple[int, str, bytes]
Page = Callable[[], Answer]


def reader_pages(
    version: str,
    ready: Callable[[], Readiness],
    hangs: Callable[[], str | None],
    exposition: Callable[[], bytes],
) -> dict[str, Page]:
    """The pages by path. `hangs` says why the process should be restarted."""

    def livez() -> Answer:
        why = hangs()
        return (
            (200, JSON, msgspec.json.encode(ALIVE)) if why is None else (503, PROBLEM_JSON, problem(503, why))
        )

    def readyz() -> Answer:
        found = ready()
        return (200 if found.ready else 503), JSON, msgspec.json.encode(found.as_json())

    return {
        "/livez": livez,
        "/readyz": readyz,
        "/metrics": lambda: (200, CONTENT_TYPE, exposition()),
        "/version": lambda: (200, JSON, msgspec.json.encode({"service": "reader", "version": version})),
    }


@contextmanager
def served(host: str, port: int, pages: Mapping[str, Page]) -> Iterator[int]:
    """Serve the pages from threads of their own until the block ends; the port, chosen if it was 0.

    Raises:
        InvalidSettingError: the address is taken or not ours.
    """
    try:
        server = ThreadingHTTPServer((host, port), _handler(pages))
    except OSError as error:
        raise InvalidSettingError(
            f"UNDERSTUDY_INGEST_PORT: cannot listen on {host}:{port}: {error}"
        ) from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="pages", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(pages: Mapping[str, Page]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # a client that sends nothing does not keep its thread
        server_version = "understudy"
        sys_version = ""

        def do_GET(self) -> None:
            self.wfile.write(self._head())

        def do_HEAD(self) -> None:
            self._head()

        def _head(self) -> bytes:
            page = pages.get(self.path.partition("?")[0])
            missing = (404, PROBLEM_JSON, problem(404, "there are /livez, /readyz, /metrics and /version"))
            status, content_type, body = page() if page else missing
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return body

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Probes come every few seconds: no access log."""

    return Handler
