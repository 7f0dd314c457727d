"""Types that take an event that is plainly right whole, in a third of the time of rule after rule.

What they do not take is not refused yet: it goes through the rules of `core.events`, which say why.
"""

from __future__ import annotations

import re
from datetime import datetime
from types import NoneType
from typing import Annotated, Any, Final, NotRequired, TypedDict, Union, get_args

import msgspec
from msgspec import Meta

from core.event_details import DETAILS, WITHOUT_VIDEO
from core.ids import ID_PATTERN, MAX_ID_LENGTH

_Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]

# Event type; quotes of a document without a request id, by its number of details; the detail that is a text or null.
Kind = tuple[str, tuple[int, ...], str | None]

_FOUR_IDS: Final = re.compile(" ".join([ID_PATTERN] * 4))


def are_ids(event_id: str | None, user_id: str, video_id: str | None, request_id: str | None) -> bool:
    """Whether each id that is there is one: no id has a space in it, and the word None for an absent one is an id."""
    return _FOUR_IDS.fullmatch(f"{event_id} {user_id} {video_id} {request_id}") is not None


def _class_of(event_type: str) -> Any:
    """Fields in the order in which our own senders write them, which is where a decoder looks first."""
    types, optional = DETAILS[event_type]
    details = {name: NotRequired[of] if name in optional else of for name, of in types.items()}
    fields: list[Any] = [
        ("event_id", _Id | None, None),
        ("user_id", _Id),
        ("video_id", _Id | None, None) if event_type in WITHOUT_VIDEO else ("video_id", _Id),
        ("details", TypedDict(event_type, details)),  # type: ignore[operator]
        ("timestamp", Annotated[datetime, Meta(tz=True)]),
        ("request_id", _Id | None, None),
    ]
    return msgspec.defstruct(
        event_type,
        fields,
        tag=event_type,
        tag_field="event_type",
        kw_only=True,
        forbid_unknown_fields=True,
        gc=False,
    )


def _kind_of(event_type: str) -> Kind:
    types, optional = DETAILS[event_type]
    fields = 4 if event_type in WITHOUT_VIDEO else 5  # of texts; `details` is none, and has two quotes
    texts = sum(_is_text(of) for name, of in types.items() if name not in optional)
    quotes = 4 * fields + 2 + 2 * texts
    nullable = next((name for name, of in types.items() if NoneType in get_args(of)), None)
    return event_type, tuple(quotes + 2 * number for number in range(len(types) + 1)), nullable


def _is_text(of: Any) -> bool:
    return any(argument is str or isinstance(argument, str) for argument in get_args(of))


KINDS: Final = {_class_of(event_type): _kind_of(event_type) for event_type in DETAILS}
decode_plain: Final = msgspec.json.Decoder(Union[tuple(KINDS)]).decode  # noqa: UP007
