"""What each event type carries in its `details`, said once as types: decoded by, checked by and documented from."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from core.ids import ID_PATTERN

MAX_TEXT: Final = 10_000
BIGINT_MAX: Final = 2**63 - 1

# Numbers keep the kind they came in, and true is none. The float bounds are exact: 2^63 itself is too large.
_Seconds = Annotated[int, Meta(ge=0, le=BIGINT_MAX)] | Annotated[float, Meta(ge=0, lt=float(2**63))]
_Percentage = Annotated[int, Meta(ge=0, le=100)] | Annotated[float, Meta(ge=0, le=100)]
_Rating = Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] | Annotated[float, Meta(ge=-1e6, le=1e6)]
_Text = Annotated[str, Meta(max_length=MAX_TEXT, pattern=r"\A[^\u0000]*\Z")]
_Id = Annotated[str, Meta(pattern=rf"\A{ID_PATTERN}\Z")]

# event type -> (its details, those that may be left out)
DETAILS: Final[dict[str, tuple[dict[str, Any], frozenset[str]]]] = {
    "view": ({"source": Literal["home", "search", "recommendation"]}, frozenset()),
    "progress": (
        {"watch_percentage": _Percentage, "duration_watched": _Seconds},
        frozenset({"duration_watched"}),
    ),
    "complete": (
        {"watch_percentage": _Percentage, "total_duration": _Seconds},
        frozenset({"watch_percentage", "total_duration"}),
    ),
    "like": ({"like_type": Literal[1]}, frozenset({"like_type"})),
    "dislike": ({"like_type": Literal[-1]}, frozenset({"like_type"})),
    "comment": ({"comment_id": _Id, "parent_id": _Id | None}, frozenset({"parent_id"})),
    "share": ({"platform": Literal["twitter", "facebook", "link"]}, frozenset()),
    "search": ({"query": _Text}, frozenset()),
    "subscribe": ({"publisher_id": _Id}, frozenset()),
    "unsubscribe": ({"publisher_id": _Id}, frozenset()),
    "rating": ({"rating": _Rating}, frozenset()),
    "review": ({"text": _Text, "rating": _Rating}, frozenset({"rating"})),
}
WITHOUT_VIDEO: Final = frozenset({"search", "subscribe", "unsubscribe"})
