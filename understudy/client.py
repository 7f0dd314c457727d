"""A small typed client of the load balancer, for applications, the demo and the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import urllib3

from core.errors import DependencyError, InvalidInputError, UnderstudyError


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One recommended video; a list is in the order to show."""

    video_id: str
    score: float = 0.0
    sources: tuple[str, ...] = ()


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /recommend/{user_id}` answers; `arm` is main, canary or static (the list of last resort)."""

    request_id: str
    user_id: str
    arm: str
    version: str
    degraded: bool
    items: tuple[Item, ...]


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was not taken: its place in the list that was posted, and why."""

    index: int
    reason: str
    message: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What `POST /events` answers once the event log has the accepted ones."""

    accepted: int
    rejected: tuple[Rejected, ...] = ()


class Client:
    """Thread-safe; keeps up to `connections` connections alive.

    Raises:
        InvalidInputError: the request was refused (4xx); the message is the server's.
        DependencyError: no answer, or 429 or 5xx; the same call may succeed later.
    """

    def __init__(self, url: str, timeout_s: float = 5.0, connections: int = 16) -> None:
        self._url = url.rstrip("/")
        # A GET may be sent twice, when a kept connection turned out to be closed. Events too: they carry
        # ids, so what arrives twice counts once.
        retries = urllib3.Retry(
            connect=2,
            read=1,
            redirect=False,
            status=False,
            other=0,
            allowed_methods=None,
            respect_retry_after_header=False,
        )
        self._http = urllib3.PoolManager(
            maxsize=connections, timeout=urllib3.Timeout(total=timeout_s), retries=retries
        )

    def recommend(
        self,
        user_id: str,
        *,
        count: int = 20,
        exclude: Sequence[str] = (),
        genre: str | None = None,
        context_video: str | None = None,
        explain: bool = False,
    ) -> Recommendation:
        """The list for one viewer."""
        fields: list[tuple[str, str]] = [("count", str(count)), *(("exclude", video) for video in exclude)]
        if genre is not None:
            fields.append(("genre", genre))
        if context_video is not None:
            fields.append(("context_video", context_video))
        if explain:
            fields.append(("explain", "1"))
        body = self._call("GET", f"/recommend/{quote(user_id, safe='')}?{urlencode(fields)}")
        return msgspec.json.decode(body, type=Recommendation)

    def post_events(self, events: Sequence[Mapping[str, Any]]) -> Receipt:
        """Post events (at most 500); give each an `event_id` so that a repeated call counts once."""
        body = self._call("POST", "/events", msgspec.json.encode(list(events)))
        return msgspec.json.decode(body, type=Receipt)

    def ready(self) -> bool:
        """Whether the load balancer would serve now."""
        try:
            return self._http.request("GET", f"{self._url}/readyz", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def close(self) -> None:
        self._http.clear()

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {"content-type": "application/json"} if body is not None else {}
        try:
            answer = self._http.request(method, self._url + path, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise DependencyError(f"{method} {self._url}{path}: {error}") from None
        if answer.status >= 400:
            raise _refusal(method, path, answer.status, answer.data)
        return answer.data


def _refusal(method: str, path: str, status: int, body: bytes) -> UnderstudyError:
    message = f"{method} {path}: {status} {body[:500].decode(errors='replace')}"
    return DependencyError(message) if status >= 500 or status == 429 else InvalidInputError(message)
