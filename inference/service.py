"""The HTTP service of one version: read the profile, recommend, answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import msgspec
from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, Counter, Histogram
from werkzeug.exceptions import HTTPException

from core.accept import prefers_text
from core.clock import Clock
from core.errors import DependencyError, InvalidInputError, NotFoundError
from core.health import ALIVE, Check, readiness
from core.ids import check_id, new_id
from core.lookup_query import LookupQuery, parse_lookup
from core.metrics import CONTENT_TYPE, exposition
from core.problems import PROBLEM_JSON, problem
from core.recommend_query import RecommendQuery, parse_recommend_query
from inference.earlier import Earlier
from inference.lookups import FoundVideo
from inference.profiles import Profiles
from inference.recommender.arrivals import Arrivals
from inference.recommender.context import LiveTrending, Request
from inference.recommender.recommend import Recommender
from inference.short_way import FAILED, Make, ShortWay

REQUEST_ID = "X-Understudy-Request-Id"
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
# No route takes a body; what a client sends all the same is cut off early.
MAX_BODY = 16 * 1024
SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.5)


class Live(Protocol):
    @property
    def current(self) -> LiveTrending | None: ...
    @property
    def stale(self) -> bool: ...


class Item(msgspec.Struct, frozen=True):
    video_id: str
    score: float
    sources: tuple[str, ...]
    explanation: dict[str, float] | msgspec.UnsetType = msgspec.UNSET


class Answer(msgspec.Struct, frozen=True):
    """What `GET /recommend/{user_id}` answers; the load balancer adds the arm."""

    request_id: str
    user_id: str
    version: str
    degraded: bool
    items: list[Item]


class LookupAnswer(msgspec.Struct, frozen=True):
    """What `/search`, `/videos/{id}/similar` and `/trending` answer; the load balancer adds the arm."""

    version: str
    degraded: bool
    items: Sequence[FoundVideo]


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """What the service is made of. `find` answers what belongs to no viewer."""

    version: str
    bundle_digest: str
    recommender: Recommender
    find: Callable[[LookupQuery], Sequence[FoundVideo]]
    profiles: Profiles
    earlier: Earlier
    live: Live
    arrivals: Callable[[], Arrivals]
    clock: Clock
    registry: CollectorRegistry
    checks: dict[str, Check]


def create_app(parts: ServiceParts) -> Flask:
    """The Flask application."""
    app = Flask("inference", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.url_map.merge_slashes = False
    app.register_error_handler(HTTPException, _problem)
    app.register_error_handler(InvalidInputError, lambda error: _refusal(400, error))
    app.register_error_handler(NotFoundError, lambda error: _refusal(404, error))
    app.register_error_handler(DependencyError, lambda error: _refusal(503, error, {"Retry-After": "1"}))
    make = _list_maker(parts)
    app.add_url_rule("/recommend/<path:user_id>", view_func=_recommend_view(make), methods=["GET"])
    app.wsgi_app = ShortWay(app.wsgi_app, make)  # type: ignore[method-assign]  # as Flask's documentation does
    _add_lookups(app, parts)
    _add_pages(app, parts)
    return app


def _recommend_view(make: Make) -> Callable[[str], Response]:
    def view(user_id: str) -> Response:
        if (failed := request.environ.get(FAILED)) is not None:
            raise failed
        query_string = request.query_string.decode("ascii", "replace")
        body, content_type = make(
            user_id, query_string, request.headers.get(REQUEST_ID), request.headers.get("Accept", "")
        )
        return _answer(200, body, content_type)

    return view


def _list_maker(parts: ServiceParts) -> Make:
    """Makes lists, counts them and times them."""
    seconds = Histogram(
        "understudy_inference_seconds", "Time to make a list", buckets=SECONDS, registry=parts.registry
    )
    lists = Counter("understudy_inference", "Lists made", ["outcome"], registry=parts.registry)
    outcomes = {outcome: lists.labels(outcome) for outcome in ("ok", "degraded", "error")}

    def make(user_id: str, query_string: str, given_id: str | None, accept: str) -> tuple[bytes, str]:
        began = perf_counter()
        query = parse_recommend_query(user_id, query_string)
        request_id = _request_id(given_id)
        try:
            answer = recommend(parts, query, request_id)
        except InvalidInputError:
            raise
        except Exception:
            outcomes["error"].inc()
            raise
        outcomes["degraded" if answer.degraded else "ok"].inc()
        seconds.observe(perf_counter() - began)
        if prefers_text(accept.encode("latin-1")):
            return ",".join(item.video_id for item in answer.items).encode(), TEXT
        return msgspec.json.encode(answer), JSON

    return make


def recommend(parts: ServiceParts, query: RecommendQuery, request_id: str) -> Answer:
    """One list, from what is known in time.

    Raises:
        NotFoundError: the request that the list should go on after is not known.
    """
    now_ms = parts.clock.now_ms()
    before = parts.earlier.of(query, now_ms)
    profile = parts.profiles.read(query.user_id)
    wanted = Request(
        query.user_id,
        query.count,
        (*query.exclude, *before.left_out),
        query.genre,
        query.context_video,
        query.explain,
        sinking=before.sinking,
    )
    made = parts.recommender.recommend(wanted, profile.document, parts.live.current, now_ms, parts.arrivals())
    parts.earlier.remember(request_id, query.user_id, before, (item.video_id for item in made.items))
    items = [
        Item(item.video_id, item.score, item.sources, dict(item.parts) if query.explain else msgspec.UNSET)
        for item in made.items
    ]
    degraded = not profile.in_time or not before.in_time or parts.live.stale
    return Answer(request_id, query.user_id, parts.version, degraded, items)


def _add_lookups(app: Flask, parts: ServiceParts) -> None:
    lists = Counter(
        "understudy_inference_lookups",
        "Lists for no viewer in particular",
        ["lookup", "outcome"],
        registry=parts.registry,
    )

    def view(**_: str) -> Response:
        query = parse_lookup(request.path, request.query_string.decode("ascii", "replace"))
        try:
            found = parts.find(query)
        except DependencyError:
            lists.labels(query.lookup, "unavailable").inc()
            raise
        lists.labels(query.lookup, "ok").inc()
        degraded = query.lookup == "trending" and parts.live.stale
        return _answer(200, msgspec.json.encode(LookupAnswer(parts.version, degraded, found)))

    for rule in ("/search", "/trending", "/videos/<path:video_id>/similar"):
        app.add_url_rule(rule, endpoint=rule, view_func=view, methods=["GET"])


def _request_id(given: str | None) -> str:
    return new_id() if given is None else check_id("request_id", given)


def _add_pages(app: Flask, parts: ServiceParts) -> None:
    @app.get("/livez")
    def livez() -> Response:
        return _answer(200, msgspec.json.encode(ALIVE))

    @app.get("/readyz")
    def readyz() -> Response:
        state = readiness(parts.checks)
        return _answer(200 if state.ready else 503, msgspec.json.encode(state.as_json()))

    @app.get("/metrics")
    def metrics() -> Response:
        return _answer(200, exposition(parts.registry), CONTENT_TYPE)

    @app.get("/version")
    def version() -> Response:
        said = {"service": "inference", "version": parts.version, "bundle_digest": parts.bundle_digest}
        return _answer(200, msgspec.json.encode(said))


def _answer(status: int, body: bytes, content_type: str = JSON) -> Response:
    return Response(body, status, content_type=content_type)


def _refusal(status: int, error: Exception, headers: Mapping[str, str] | None = None) -> Response:
    response = _answer(status, problem(status, str(error)), PROBLEM_JSON)
    response.headers.update(headers or {})
    return response


def _problem(error: HTTPException) -> Response:
    status = error.code or 500
    response = _answer(status, problem(status, error.description or ""), PROBLEM_JSON)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response
