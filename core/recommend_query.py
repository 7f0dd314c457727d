"""What `GET /recommend/{user_id}` takes, checked once for the load balancer and the inference service alike."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import quote

import msgspec

from core.errors import InvalidInputError
from core.ids import ID_SCHEMA, check_id
from core.query_string import (
    DEFAULT_COUNT,
    MAX_COUNT,
    MAX_EXCLUDED,
    OF_EVERY_LIST,
    Json,
    Parameters,
    read_parameters,
)

__all__ = ["DEFAULT_COUNT", "MAX_COUNT", "MAX_EXCLUDED", "RecommendQuery", "parse_recommend_query"]

_FLAG: Final[Json] = {"enum": [0, 1], "default": 0}
PARAMETERS: Final[Mapping[str, Json]] = {
    **OF_EVERY_LIST,
    "context_video": ID_SCHEMA,
    "explain": _FLAG,
    "fresh": _FLAG,
    "after": ID_SCHEMA,
}
_NAMES: Final = tuple(PARAMETERS)


class RecommendQuery(msgspec.Struct, frozen=True, gc=False):
    """A valid request for a list of `count` videos.

    `fresh`: what this viewer was shown lately and did not watch comes later. `after` is the id of an earlier
    request of this viewer: the list goes on where that one ended.
    """

    user_id: str
    count: int = DEFAULT_COUNT
    exclude: tuple[str, ...] = ()
    genre: str | None = None
    context_video: str | None = None
    explain: bool = False
    fresh: bool = False
    after: str | None = None

    def target(self) -> str:
        """Path and query that ask for the same: built from checked values, never passed through."""
        target = f"/recommend/{self.user_id}?count={self.count}"
        if self.exclude:
            target += "".join(f"&exclude={video}" for video in self.exclude)
        if self.genre is not None:
            target += f"&genre={quote(self.genre, safe='')}"
        if self.context_video is not None:
            target += f"&context_video={self.context_video}"
        if self.after is not None:
            target += f"&after={self.after}"
        if self.fresh:
            target += "&fresh=1"
        return f"{target}&explain=1" if self.explain else target


def parse_recommend_query(user_id: str, query_string: str) -> RecommendQuery:
    """Check the path's user id (already percent-decoded) and the query string (not yet decoded).

    Raises:
        InvalidInputError: names the parameter: unknown, repeated, empty, or not as documented.
    """
    check_id("user_id", user_id)
    if not query_string:
        return RecommendQuery(user_id)
    return msgspec.structs.replace(_asked(query_string), user_id=user_id)


@lru_cache(1024)  # an application asks for the same again and again, only for other viewers
def _asked(query_string: str) -> RecommendQuery:
    """What is asked, of nobody yet."""
    given = read_parameters(query_string, _NAMES)
    return RecommendQuery(
        user_id="",
        count=given.count,
        exclude=given.exclude,
        genre=given.genre,
        context_video=_id("context_video", given),
        explain=_flag("explain", given),
        fresh=_flag("fresh", given),
        after=_id("after", given),
    )


def _id(name: str, given: Parameters) -> str | None:
    text = given.single.get(name)
    return None if text is None else check_id(name, text)


def _flag(name: str, given: Parameters) -> bool:
    text = given.single.get(name, "0")
    if text not in {"0", "1"}:
        raise InvalidInputError(f"{name} {text[:20]!r} is neither 0 nor 1")
    return text == "1"
