"""The control plane's Flask application: release pages, their JSON, health. It only reads, but for `admin`."""

from __future__ import annotations

import msgspec
from flask import Flask, Response, redirect, render_template, request
from jinja2 import StrictUndefined
from prometheus_client import CollectorRegistry
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from core.clock import Clock
from core.errors import DependencyError, NotFoundError, UnderstudyError
from core.health import ALIVE, Check, readiness
from core.metrics import CONTENT_TYPE, exposition
from core.problems import PROBLEM_JSON, problem
from load_balancer.control import pages
from load_balancer.control.admin import admin_api
from load_balancer.control.reading import Reader, summary
from load_balancer.control.session import Guard
from storage.database import Database

MAX_BODY = 16 * 1024
LISTED = 50
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
ALWAYS_OPEN = frozenset({"/livez", "/readyz", "/signin"})

# Everything comes from here, nothing runs inline, nobody frames us.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def create_control(
    database: Database,
    clock: Clock,
    registry: CollectorRegistry,
    *,
    token: str = "",
    loopback: bool = True,
    version: str = "",
) -> Flask:
    """The application.

    An empty `token` leaves it without any way to change a thing. Reading is open on loopback, to requests
    that name this machine (a page elsewhere cannot have its own name point here); beyond, it needs the token.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    guard = Guard(token, clock, secure=not loopback)
    if loopback:
        app.config["TRUSTED_HOSTS"] = list(LOCAL_HOSTS)
    else:
        app.before_request(lambda: _check_reader(guard))
    app.context_processor(lambda: {"session": guard.session(), "can_sign_in": bool(token)})
    app.register_blueprint(admin_api(database, clock, guard))
    app.after_request(_secure)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(UnderstudyError, _our_error)
    _add_pages(app, Reader(database), clock)
    _add_api(app, Reader(database), clock)
    _add_health(app, {"database": _answers(database)}, registry, version)
    return app


def _check_reader(guard: Guard) -> None:
    """Beyond loopback even reading needs the token or a session."""
    if request.path in ALWAYS_OPEN or request.path.startswith("/static/") or guard.session() is not None:
        return
    guard.check()


def _add_pages(app: Flask, reader: Reader, clock: Clock) -> None:
    @app.get("/")
    def home() -> AnyResponse:
        return redirect("releases")  # relative: no client's Host header comes back in it

    @app.get("/releases")
    def releases() -> str:
        plan = reader.current_plan()
        entries = [pages.list_entry(row, verdict) for row, verdict in reader.rows(LISTED)]
        live = any(entry["row"].closed_ms is None for entry in entries)
        return render_template("releases.html", entries=entries, plan=plan, live=live)

    @app.get("/releases/<release_id>")
    def release(release_id: str) -> str:
        page = pages.release_page(reader.view(release_id), clock.now_ms())
        return render_template("release.html", **page)


def _add_api(app: Flask, reader: Reader, clock: Clock) -> None:
    @app.get("/api/releases")
    def api_releases() -> Response:
        return _json(200, {"releases": [summary(row, verdict) for row, verdict in reader.rows(LISTED)]})

    @app.get("/api/releases/<release_id>")
    def api_release(release_id: str) -> Response:
        return _json(200, pages.as_json(reader.view(release_id), clock.now_ms()))


def _add_health(app: Flask, checks: dict[str, Check], registry: CollectorRegistry, version: str) -> None:
    @app.get("/livez")
    def livez() -> Response:
        return _json(200, ALIVE)

    @app.get("/readyz")
    def readyz() -> Response:
        state = readiness(checks)
        return _json(200 if state.ready else 503, state.as_json())

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(exposition(registry), content_type=CONTENT_TYPE)

    @app.get("/version")
    def about() -> Response:
        return _json(200, {"service": "control", "version": version})


def _answers(database: Database) -> Check:
    def check() -> str | None:
        try:
            database.ping()
        except DependencyError as error:
            return str(error)
        return None

    return check


def _json(status: int, value: object) -> Response:
    return Response(msgspec.json.encode(value), status, content_type="application/json")


def _secure(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


def _http_error(error: HTTPException) -> AnyResponse:
    if error.code is None or error.code < 400:  # a redirect
        return error.get_response()
    response = _error(error.code, error.description or "")
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After"}:
            response.headers[name] = value
    if error.code == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="understudy"'
    return response


def _our_error(error: UnderstudyError) -> Response:
    if isinstance(error, NotFoundError):
        return _error(404, str(error))
    if isinstance(error, DependencyError):
        response = _error(503, "the main store does not answer; this page tries again")
        response.headers["Retry-After"] = "2"
        return response
    return _error(409 if error.exit_code == 3 else 500, str(error))


def _error(status: int, detail: str) -> Response:
    """A page for people, problem JSON for programs."""
    wants_page = request.accept_mimetypes.best_match([PROBLEM_JSON, "text/html"]) == "text/html"
    if wants_page and request.path == "/signin":
        back = request.form.get("back", "")
        return Response(render_template("signin.html", back=back, wrong=detail), status)
    if wants_page and not request.path.startswith("/api/"):
        return Response(render_template("error.html", status=status, detail=detail), status)
    return Response(problem(status, detail), status, content_type=PROBLEM_JSON)
