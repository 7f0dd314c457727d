"""Error answers over HTTP: RFC 9457 problem JSON, made in one place for every service."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

PROBLEM_JSON = "application/problem+json"


def problem(status: int, detail: str, **members: object) -> bytes:
    """The body of an error answer; `members` are added beside the standard ones (`rejected`, `request_id`)."""
    title = HTTPStatus(status).phrase
    return msgspec.json.encode({"title": title, "status": status, "detail": detail, **members})
