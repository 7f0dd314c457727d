"""What is not hot: health, metrics and version, as a Flask application beside the hot routes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from flask import Flask, Response
from prometheus_client import CollectorRegistry
from werkzeug.exceptions import HTTPException

from core.health import ALIVE, Check, readiness
from core.metrics import CONTENT_TYPE, exposition
from core.problems import PROBLEM_JSON, problem

# Nothing here is a document: a browser that is led here runs, frames and guesses nothing.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
# Nothing here takes a body; what a client sends all the same is cut off early.
MAX_BODY = 16 * 1024


@dataclass(frozen=True, slots=True)
class PageParts:
    """`version` is asked at each call, `checks` at each look at /readyz."""

    registry: CollectorRegistry
    checks: dict[str, Check]
    version: Callable[[], dict[str, object]]
    description: dict[str, object]


def create_pages(parts: PageParts) -> Flask:
    """The Flask application."""
    app = Flask("load_balancer", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    # A path is what it says: no redirect to a corrected one, which would carry the client's Host header.
    app.url_map.merge_slashes = False
    app.register_error_handler(HTTPException, _problem)
    app.after_request(_secure)

    @app.get("/livez")
    def livez() -> Response:
        return _json(200, ALIVE)

    @app.get("/readyz")
    def readyz() -> Response:
        state = readiness(parts.checks)
        return _json(200 if state.ready else 503, state.as_json())

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(exposition(parts.registry), content_type=CONTENT_TYPE)

    @app.get("/version")
    def version() -> Response:
        return _json(200, parts.version())

    @app.get("/openapi.json")
    def openapi() -> Response:
        return _json(200, parts.description)

    return app


def _json(status: int, value: object) -> Response:
    return Response(msgspec.json.encode(value), status, content_type="application/json")


def _secure(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


def _problem(error: HTTPException) -> Response:
    status = error.code or 500
    response = Response(problem(status, error.description or ""), status, content_type=PROBLEM_JSON)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response
