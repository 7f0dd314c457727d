"""A small typed client of the load balancer, for applications, the demo and the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import urllib3

from core.errors import DependencyError, InvalidInputError, UnderstudyError
from core.ids import new_id


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One recommended video; a list is in the order to show. `explanation` adds up to the score, if asked for."""

    video_id: str
    score: float = 0.0
    sources: tuple[str, ...] = ()
    explanation: dict[str, float] = {}  # msgspec copies an empty default for each instance


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /recommend/{user_id}` answers; `arm` is main, canary or static (the list of last resort)."""

    request_id: str
    user_id: str
    arm: str
    version: str
    degraded: bool
    items: tuple[Item, ...]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One video of a list that belongs to no viewer; `score` is a cosine, or what trending counts."""

    video_id: str
    score: float


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What `/search`, `/videos/{id}/similar` and `/trending` answer; `arm` as in a recommendation."""

    arm: str
    version: str
    degraded: bool
    items: tuple[Found, ...]


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
        # A GET may be sent twice, when a kept connection turned out to be closed. Events too: each has an id
        # before it leaves, so what arrives twice counts once.
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
        fresh: bool = False,
        after: str | None = None,
    ) -> Recommendation:
        """The list for one viewer.

        With `fresh`, what this viewer was shown lately and did not watch comes later. `after`, the request id
        of an earlier list of this viewer, gives the list that follows it; InvalidInputError where the platform
        does not know that request any more.
        """
        fields = _fields(count, exclude, genre)
        fields += [("context_video", context_video)] if context_video is not None else []
        fields += [("after", after)] if after is not None else []
        fields += [(name, "1") for name, wanted in (("explain", explain), ("fresh", fresh)) if wanted]
        body = self._call("GET", f"/recommend/{quote(user_id, safe='')}?{urlencode(fields)}")
        return msgspec.json.decode(body, type=Recommendation)

    def pages(
        self,
        user_id: str,
        *,
        count: int = 20,
        exclude: Sequence[str] = (),
        genre: str | None = None,
        fresh: bool = False,
    ) -> Iterator[Recommendation]:
        """The list for one viewer in pages of `count`, each asked for when it is wanted, until nothing is left."""
        after: str | None = None
        while True:
            page = self.recommend(
                user_id, count=count, exclude=exclude, genre=genre, fresh=fresh, after=after
            )
            if not page.items:
                return
            yield page
            after = page.request_id

    def similar(
        self, video_id: str, *, count: int = 20, exclude: Sequence[str] = (), genre: str | None = None
    ) -> Listing:
        """The videos closest to one; InvalidInputError where no version knows it."""
        return self._list(f"/videos/{quote(video_id, safe='')}/similar", _fields(count, exclude, genre))

    def search(
        self, text: str, *, count: int = 20, exclude: Sequence[str] = (), genre: str | None = None
    ) -> Listing:
        """The videos whose texts mean most nearly what `text` says."""
        return self._list("/search", [*_fields(count, exclude, genre), ("q", text)])

    def trending(self, *, count: int = 20, exclude: Sequence[str] = (), genre: str | None = None) -> Listing:
        """What is watched most lately."""
        return self._list("/trending", _fields(count, exclude, genre))

    def post_events(self, events: Sequence[Mapping[str, Any]]) -> Receipt:
        """Post events (at most 500); give each an `event_id` so that a repeated call counts once.

        Those without one get one here, so that what is sent again after a lost answer counts once too.
        """
        named = [{"event_id": new_id(), **event} for event in events]
        body = self._call("POST", "/events", msgspec.json.encode(named))
        return msgspec.json.decode(body, type=Receipt)

    def ready(self) -> bool:
        """Whether the load balancer would serve now."""
        try:
            return self._http.request("GET", f"{self._url}/readyz", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def close(self) -> None:
        self._http.clear()

    def _list(self, path: str, fields: list[tuple[str, str]]) -> Listing:
        return msgspec.json.decode(self._call("GET", f"{path}?{urlencode(fields)}"), type=Listing)

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {"content-type": "application/json"} if body is not None else {}
        try:
            answer = self._http.request(method, self._url + path, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise DependencyError(f"{method} {self._url}{path}: {error}") from None
        if answer.status >= 400:
            raise _refusal(method, path, answer.status, answer.data)
        return answer.data


def _fields(count: int, exclude: Sequence[str], genre: str | None) -> list[tuple[str, str]]:
    """What every list takes."""
    fields = [("count", str(count)), *(("exclude", video) for video in exclude)]
    return fields if genre is None else [*fields, ("genre", genre)]


def _refusal(method: str, path: str, status: int, body: bytes) -> UnderstudyError:
    message = f"{method} {path}: {status} {body[:500].decode(errors='replace')}"
    return DependencyError(message) if status >= 500 or status == 429 else InvalidInputError(message)
