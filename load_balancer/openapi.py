"""`GET /openapi.json`: the public API described from the types that validate it."""

from __future__ import annotations

from typing import Any

import msgspec

from core.events import DETAILS, EventDocument
from core.ids import ID_PATTERN
from core.lookup_query import MAX_TEXT
from core.problems import PROBLEM_JSON
from core.recommend_query import DEFAULT_COUNT, MAX_COUNT, MAX_EXCLUDED
from load_balancer.answers import Recommendation
from load_balancer.events import MAX_EVENTS, Receipt
from load_balancer.lookups import Listing

Json = dict[str, Any]
ID: Json = {"type": "string", "pattern": f"^{ID_PATTERN}$"}


def document(version: str) -> Json:
    """The OpenAPI 3.1 document."""
    (answer, receipt, event, listing), components = msgspec.json.schema_components(
        [Recommendation, Receipt, EventDocument, Listing], ref_template="#/components/schemas/{name}"
    )
    components["Problem"] = {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
        "required": ["title", "status", "detail"],
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Understudy", "version": version},
        "paths": {
            "/recommend/{user_id}": {"get": _recommend(answer)},
            "/events": {"post": _events(event, receipt)},
            "/search": {"get": _lookup("Videos whose texts are close to `q`", listing, _text())},
            "/videos/{video_id}/similar": {
                "get": _lookup("Videos close to this one", listing, _in_path("video_id"))
            },
            "/trending": {"get": _lookup("What is watched most lately", listing)},
            "/livez": {"get": _page("The process runs.")},
            "/readyz": {"get": _page("There is a traffic plan to serve by.", 503)},
            "/version": {"get": _page("What runs here.")},
        },
        "components": {"schemas": components},
    }


def _recommend(answer: Json) -> Json:
    parameters = [
        _in_path("user_id"),
        *_of_every_list(),
        _query("context_video", ID),
        _query("explain", {"enum": [0, 1], "default": 0}),
        _query("fresh", {"enum": [0, 1], "default": 0}),
        _query("after", ID),
    ]
    shown = {"application/json": {"schema": answer}, "text/plain": {"schema": {"type": "string"}}}
    return {
        "summary": "Videos for one viewer, the best first",
        "parameters": parameters,
        "responses": {"200": {"description": "The list", "content": shown}, **_problems(400, 404, 405, 503)},
    }


def _lookup(summary: str, listing: Json, *own: Json) -> Json:
    shown = {"application/json": {"schema": listing}}
    return {
        "summary": summary,
        "parameters": [*own, *_of_every_list()],
        "responses": {"200": {"description": "The list", "content": shown}, **_problems(400, 404, 405, 503)},
    }


def _of_every_list() -> list[Json]:
    return [
        _query("count", {"type": "integer", "minimum": 1, "maximum": MAX_COUNT, "default": DEFAULT_COUNT}),
        _query("exclude", {"type": "array", "items": ID, "maxItems": MAX_EXCLUDED}),
        _query("genre", {"type": "string", "minLength": 1, "maxLength": 64}),
    ]


def _text() -> Json:
    return {**_query("q", {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}), "required": True}


def _in_path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": ID}


def _events(event: Json, receipt: Json) -> Json:
    several = {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS}
    body = {"required": True, "content": {"application/json": {"schema": {"oneOf": [event, several]}}}}
    accepted = {
        "description": "The event log holds the accepted ones",
        "content": {"application/json": {"schema": receipt}},
    }
    return {
        "summary": f"What viewers did; event types: {', '.join(DETAILS)}",
        "requestBody": body,
        "responses": {"202": accepted, **_problems(400, 405, 408, 413, 415, 501, 503)},
    }


def _page(description: str, *other: int) -> Json:
    content = {"application/json": {"schema": {"type": "object"}}}
    also = {str(status): {"description": "It is not so", "content": content} for status in other}
    return {"responses": {"200": {"description": description, "content": content}, **also, **_problems(405)}}


def _query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _problems(*statuses: int) -> Json:
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(status): {"description": "What went wrong", "content": content} for status in statuses}
