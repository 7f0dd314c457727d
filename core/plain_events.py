"""Types that take an event that is plainly right whole, in a third of the time of rule after rule.

What they do not take is not refused yet: it goes through the rules of `core.events`, which say why.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, NotRequired, TypedDict, Union, get_args

import msgspec
from msgspec import Meta

from core.event_details import DETAILS, WITHOUT_VIDEO
from core.ids import MAX_ID_LENGTH, is_id

_Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]


class PlainEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event as it stands on the wire; there is a class of its own for each event type."""

    user_id: _Id
    timestamp: Annotated[datetime, Meta(tz=True)]
    details: dict[str, Any]
    video_id: _Id | None = None
    event_id: _Id | None = None
    request_id: _Id | None = None


# Event type, quotes around what must stand in the document, whether details may be left out, whether some are texts.
Kind = tuple[str, int, bool, bool]


def are_ids(event: PlainEvent) -> bool:
    """Whether each id that is there is one."""
    ids = (event.user_id, event.video_id, event.event_id, event.request_id)
    return all(is_id(value) for value in ids if value is not None)


def _class_of(event_type: str) -> Any:
    types, optional = DETAILS[event_type]
    details = {name: NotRequired[of] if name in optional else of for name, of in types.items()}
    fields: list[Any] = [("details", TypedDict(event_type, details))]  # type: ignore[operator]
    if event_type not in WITHOUT_VIDEO:
        fields.append(("video_id", _Id))
    return msgspec.defstruct(
        event_type,
        fields,
        bases=(PlainEvent,),
        tag=event_type,
        tag_field="event_type",
        kw_only=True,
        gc=False,
    )


def _kind_of(event_type: str) -> Kind:
    types, optional = DETAILS[event_type]
    quotes = (
        14 if event_type in WITHOUT_VIDEO else 18
    )  # four a field, names and values, and two around `details`
    texts = sum(map(_is_text, types.values()))
    if not optional:
        quotes += 2 * len(types) + 2 * texts
    return event_type, quotes, bool(optional), texts > 0


def _is_text(of: Any) -> bool:
    return any(argument is str or isinstance(argument, str) for argument in get_args(of))


KINDS: Final = {_class_of(event_type): _kind_of(event_type) for event_type in DETAILS}
decode_plain: Final = msgspec.json.Decoder(Union[tuple(KINDS)]).decode  # noqa: UP007
