"""The short way of `/recommend` around Flask, whose dispatch costs as much as the profile and the JSON together.

Only a GET without a body that ends well goes it. Everything else is Flask's, failures included: what was raised
is handed over, so that it is counted once and answered as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]
# From user id, query string, request id and Accept header to body and content type.
Make = Callable[[str, str, str | None, str], tuple[bytes, str]]

PREFIX: Final = "/recommend/"
FAILED: Final = "understudy.failed"


class ShortWay:
    """Goes before `flask`; `make` is what Flask's own view calls too."""

    def __init__(self, flask: Wsgi, make: Make) -> None:
        self._flask = flask
        self._make = make

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path: str = environ["PATH_INFO"]
        if not path.startswith(PREFIX) or not _is_plain(environ):
            return self._flask(environ, start_response)
        try:
            body, content_type = self._make(
                path.removeprefix(PREFIX),
                environ.get("QUERY_STRING", ""),
                environ.get("HTTP_X_UNDERSTUDY_REQUEST_ID"),
                environ.get("HTTP_ACCEPT", ""),
            )
        except Exception as error:  # noqa: BLE001  # Flask's handlers know what to say of it, whatever it is
            return self._flask({**environ, FAILED: error}, start_response)
        start_response("200 OK", [("Content-Type", content_type), ("Content-Length", str(len(body)))])
        return [body]


def _is_plain(environ: Environ) -> bool:
    without_body = environ.get("CONTENT_LENGTH", "0") in {"", "0"} and "HTTP_TRANSFER_ENCODING" not in environ
    return environ["REQUEST_METHOD"] == "GET" and without_body and environ.get("QUERY_STRING", "").isascii()
