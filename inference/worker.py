"""The gunicorn worker of the inference service: its gthread, with a short way for plain requests on kept connections.

Load balancers send nothing else. gunicorn's parser, its request and its response, which leaves in two packets, cost
as much as a profile and the JSON together; whatever is not plain (core/plain_request.py) is handed to them unread.
"""

from __future__ import annotations

import socket
import sys
from io import BytesIO
from typing import Any, Final

from gunicorn.asgi.protocol import _get_cached_date_header

from core.gthread_worker import BoundedWorker
from core.plain_request import MOST_BYTES, read_plain

# What every plain request has in common: enough for Flask to answer one that fails.
_ENVIRON: Final = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "SERVER_NAME": "",
    "SERVER_PORT": "",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}
_LISTED: Final = {b"accept": "HTTP_ACCEPT", b"x-understudy-request-id": "HTTP_X_UNDERSTUDY_REQUEST_ID"}


class Worker(BoundedWorker):
    """Serves a WSGI application that reads no other header than Accept and the request id."""

    def serve(self, conn: Any) -> Any:
        """Serve one request in a thread of the pool; returns whether the connection is kept."""
        if conn.initialized and not conn.parser.unreader.buf.getvalue():
            try:
                conn.sock.setblocking(True)
                data = conn.sock.recv(MOST_BYTES)  # the poller has seen that there is some
                if (request := read_plain(data)) is not None:
                    return self._serve_plain(conn.sock, request)
            except OSError:
                return False
            if not data:
                return False
            conn.parser.unreader.unread(data)
        return super().serve(conn)

    def _serve_plain(self, client: socket.socket, request: dict[str, Any]) -> bool:
        self.nr += 1
        keep = bool(self.alive and len(self.keepalived_conns) < self.max_keepalived)
        client.sendall(answer(self.wsgi, request, keep=keep))
        return keep


def answer(application: Any, request: dict[str, Any], *, keep: bool) -> bytes:
    """The whole response of a WSGI application to a plain request."""
    started: list[Any] = []
    body = application(environ(request), lambda *given: started.extend(given))
    content = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    status, fields = started[:2]
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields]).encode("latin-1")
    kept = b"keep-alive" if keep else b"close"
    head = b"HTTP/1.1 %b\r\n%bConnection: %b\r\n" % (status.encode(), _get_cached_date_header(), kept)
    return head + lines + b"\r\n" + content


def environ(request: dict[str, Any]) -> dict[str, Any]:
    """The WSGI environment of a plain request."""
    made = {
        **_ENVIRON,
        "PATH_INFO": request["path"],
        "QUERY_STRING": request["query_string"].decode(),
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
    }
    for field, value in request["headers"]:
        if (name := _LISTED.get(field)) is not None:
            said = value.decode("latin-1")
            made[name] = f"{made[name]},{said}" if name in made else said
    return made
