"""What the lookups take that belong to no viewer: `/search`, `/trending`, `/videos/{id}/similar`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from core.errors import InvalidInputError
from core.ids import check_id
from core.query_string import DEFAULT_COUNT, OF_EVERY_LIST, PRINTABLE, Json, read_parameters

Lookup = Literal["search", "similar", "trending"]

MAX_TEXT: Final = 200
_SIMILAR = re.compile(r"/videos/(.*)/similar", re.DOTALL)
_TEXT_PATTERN: Final = rf"(?=.*\S){PRINTABLE}{{1,{MAX_TEXT}}}"
_TEXT = re.compile(_TEXT_PATTERN)
SEARCH_PARAMETERS: Final[Mapping[str, Json]] = {
    "q": {"type": "string", "pattern": f"^{_TEXT_PATTERN}$"},
    **OF_EVERY_LIST,
}
_OF_SEARCH: Final = tuple(SEARCH_PARAMETERS)
_OF_OTHERS: Final = tuple(OF_EVERY_LIST)


@dataclass(frozen=True, slots=True)
class LookupQuery:
    """A valid request. `text` belongs to a search, `video_id` to similar videos; both are empty elsewhere."""

    lookup: Lookup
    count: int = DEFAULT_COUNT
    genre: str | None = None
    exclude: tuple[str, ...] = ()
    text: str = ""
    video_id: str = ""

    def target(self) -> str:
        """Path and query that ask for the same: built from checked values, never passed through."""
        path = f"/videos/{self.video_id}/similar" if self.lookup == "similar" else f"/{self.lookup}"
        target = f"{path}?count={self.count}" + "".join(f"&exclude={video}" for video in self.exclude)
        if self.genre is not None:
            target += f"&genre={quote(self.genre, safe='')}"
        return f"{target}&q={quote(self.text, safe='')}" if self.lookup == "search" else target


def lookup_of(path: str) -> Lookup | None:
    """Which lookup this path (percent-decoded) is the address of, if any."""
    if path == "/search":
        return "search"
    if path == "/trending":
        return "trending"
    return "similar" if _SIMILAR.fullmatch(path) else None


def parse_lookup(path: str, query_string: str) -> LookupQuery:
    """Check the path (percent-decoded) and the query string (not yet decoded) of a lookup.

    Raises:
        InvalidInputError: names the parameter: unknown, repeated, missing, or not as documented; or the path
            is no lookup's.
    """
    lookup, similar = lookup_of(path), _SIMILAR.fullmatch(path)
    if lookup is None:
        raise InvalidInputError(f"path {path[:40]!r} is no lookup's")
    video_id = check_id("video_id", similar[1]) if similar else ""
    given = read_parameters(query_string, _OF_SEARCH if lookup == "search" else _OF_OTHERS)
    text = _text(given.single.get("q")) if lookup == "search" else ""
    return LookupQuery(lookup, given.count, given.genre, given.exclude, text, video_id)


def _text(given: str | None) -> str:
    if given is None:
        raise InvalidInputError("parameter 'q' is missing: the words to search for")
    if not _TEXT.fullmatch(given):
        raise InvalidInputError(f"q {given[:20]!r} is not 1 to {MAX_TEXT} printable characters")
    return given.strip()
