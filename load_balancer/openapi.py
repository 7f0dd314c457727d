"""`GET /openapi.json`: the public API described from what validates it.

Parameters come from the tables that name the known ones, events from the checks of their details, answers from
the types that are encoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from core.events import DETAILS, WITHOUT_VIDEO
from core.ids import ID_SCHEMA
from core.lookup_query import SEARCH_PARAMETERS
from core.problems import PROBLEM_JSON
from core.query_string import OF_EVERY_LIST
from core.recommend_query import PARAMETERS
from load_balancer.answers import Recommendation
from load_balancer.events import MAX_EVENTS, Receipt
from load_balancer.lookups import Listing

Json = dict[str, Any]
# 414: an address of over 4,094 bytes, whatever is in it.
OF_LISTS: Final = (400, 404, 405, 414, 431, 503)
REQUIRED: Final = frozenset({"q"})
ID_OR_NONE: Final[Json] = {"anyOf": [ID_SCHEMA, {"type": "null"}]}
PROBLEM: Final[Json] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"}},
    "required": ["title", "status", "detail"],
}


def document(version: str) -> Json:
    """The OpenAPI 3.1 document."""
    (answer, receipt, listing), components = msgspec.json.schema_components(
        [Recommendation, Receipt, Listing], ref_template="#/components/schemas/{name}"
    )
    schemas = {**components, "Problem": PROBLEM, "Event": event_schema()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Understudy", "version": version},
        "paths": {
            "/recommend/{user_id}": {"get": _recommend(answer)},
            "/events": {"post": _events(receipt)},
            "/search": {"get": _lookup("Videos whose texts are close to `q`", listing, SEARCH_PARAMETERS)},
            "/videos/{video_id}/similar": {
                "get": _lookup("Videos close to this one", listing, OF_EVERY_LIST, _in_path("video_id"))
            },
            "/trending": {"get": _lookup("What is watched most lately", listing, OF_EVERY_LIST)},
            "/livez": {"get": _page("The process runs.")},
            "/readyz": {"get": _page("There is a traffic plan to serve by.", 503)},
            "/version": {"get": _page("What runs here.")},
        },
        "components": {"schemas": schemas},
    }


def event_schema() -> Json:
    """One event: an object for each type, told apart by `event_type`."""
    return {"oneOf": [_event(name, *details) for name, details in DETAILS.items()]}


def _event(event_type: str, types: Mapping[str, Any], optional: frozenset[str]) -> Json:
    needed = [name for name in types if name not in optional]
    details = {
        "type": "object",
        "properties": {name: detail_schema(of) for name, of in types.items()},
        "required": needed,
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "event_type": {"const": event_type},
            "user_id": ID_SCHEMA,
            "video_id": ID_OR_NONE if event_type in WITHOUT_VIDEO else ID_SCHEMA,
            "details": details,
            "timestamp": {
                "type": "string",
                "format": "date-time",
                "description": "Since 1970, and at most a day ahead of ours",
            },
            "event_id": ID_OR_NONE,
            "request_id": ID_OR_NONE,
        },
        "required": [
            "event_type",
            "user_id",
            "timestamp",
            *(() if event_type in WITHOUT_VIDEO else ("video_id",)),
            *(("details",) if needed else ()),
        ],
        "additionalProperties": False,
    }


def detail_schema(of: Any) -> Json:
    """The JSON schema of a detail's type. Beginning and end of a text are written in another way there."""
    schema = msgspec.json.encode(msgspec.json.schema(of))
    found: Json = msgspec.json.decode(schema.replace(rb"\\A", b"^").replace(rb"\\Z", b"$"))
    return found


def _recommend(answer: Json) -> Json:
    shown = {"application/json": {"schema": answer}, "text/plain": {"schema": {"type": "string"}}}
    return {
        "summary": "Videos for one viewer, the best first",
        "parameters": [_in_path("user_id"), *_queries(PARAMETERS)],
        "responses": {"200": {"description": "The list", "content": shown}, **_problems(*OF_LISTS)},
    }


def _lookup(summary: str, listing: Json, parameters: Mapping[str, Json], *own: Json) -> Json:
    shown = {"application/json": {"schema": listing}}
    return {
        "summary": summary,
        "parameters": [*own, *_queries(parameters)],
        "responses": {"200": {"description": "The list", "content": shown}, **_problems(*OF_LISTS)},
    }


def _events(receipt: Json) -> Json:
    event = {"$ref": "#/components/schemas/Event"}
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


def _in_path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": ID_SCHEMA}


def _queries(parameters: Mapping[str, Json]) -> Iterator[Json]:
    for name, schema in parameters.items():
        yield {"name": name, "in": "query", "required": name in REQUIRED, "schema": schema}


def _problems(*statuses: int) -> Json:
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(status): {"description": "What went wrong", "content": content} for status in statuses}
