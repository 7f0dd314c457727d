"""Interactions: the event schema of topic `user_interactions`, strict, and its JSON codec.

Everything a viewer's application may send is described here once: the load balancer validates with it
before it answers 202, the reader validates again with it before it persists.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from core.clock import DAY, EPOCH, format_ms, parse_ms
from core.errors import InvalidEventError, InvalidInputError
from core.event_details import DETAILS, WITHOUT_VIDEO
from core.ids import check_id
from core.interaction import FUTURE_TOLERANCE_MS, Details, Interaction
from core.plain_events import KINDS, are_ids, decode_plain

# What the rooms need of events is imported from here, wherever in core it is defined.
__all__ = (
    "DETAILS",
    "FUTURE_TOLERANCE_MS",
    "MAX_EVENT_BYTES",
    "TOPIC_DEAD_LETTERS",
    "TOPIC_EXPOSURES",
    "TOPIC_INTERACTIONS",
    "WATCHED_BY",
    "WITHOUT_VIDEO",
    "EventDocument",
    "Interaction",
    "encode_event",
    "parse_event",
    "parse_strictly",
)

TOPIC_INTERACTIONS: Final = "user_interactions"
TOPIC_EXPOSURES: Final = "recommendation_exposures"
TOPIC_DEAD_LETTERS: Final = "dead_letters"

MAX_EVENT_BYTES: Final = 64 * 1024

# Event types after which a video counts as watched: it is not recommended again.
WATCHED_BY: Final = frozenset({"view", "progress", "complete", "like", "dislike", "rating", "review"})


class EventDocument(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON object as it stands on the wire; types are checked by the decoder. UNSET: the name is absent."""

    user_id: str
    timestamp: str
    event_type: str | msgspec.UnsetType = msgspec.UNSET
    video_id: str | msgspec.UnsetType | None = msgspec.UNSET
    details: Details | msgspec.UnsetType = msgspec.UNSET
    event_id: str | msgspec.UnsetType | None = msgspec.UNSET
    request_id: str | msgspec.UnsetType | None = msgspec.UNSET


_decoder = msgspec.json.Decoder(EventDocument, strict=True)


def parse_event(value: bytes, received_ms: int, event_type: str | None = None) -> Interaction:
    """Decode and validate one event.

    Args:
        value: the JSON document, UTF-8, at most 64 KiB.
        received_ms: the server's receipt time, kept beside the viewer's own.
        event_type: the only type taken, which the event may then leave out (a topic of one type).

    Raises:
        InvalidEventError: with the reason class `too_large`, `malformed`, `schema`, `unknown_type`, `id`,
            `details` or `time`.
    """
    if event_type is not None or len(value) > MAX_EVENT_BYTES:
        return parse_strictly(value, received_ms, event_type)
    try:
        event = decode_plain(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return parse_strictly(value, received_ms)
    # In one piece from here, for a call costs as much as a check.
    event_type, quotes_by_details, nullable = KINDS[event.__class__]
    event_id, user_id, video_id, details, timestamp, request_id = astuple(event)
    ids = f"{event_id}{user_id}{video_id}"  # None is alphanumeric too
    quotes = quotes_by_details[len(details)]
    if event_id is None:
        quotes -= 4
    if request_id is not None:
        quotes += 4
        ids += request_id
    if nullable is not None and details.get(nullable) is not None:
        quotes += 2
    since = timestamp - EPOCH  # by its parts, which costs less than dividing it
    occurred_ms = since.days * DAY + since.seconds * 1_000 + since.microseconds // 1_000
    # Of two equal names a decoder keeps the last, and there are more quotes than the event accounts for.
    if (
        value.count(b'"') == quotes
        and 0 <= occurred_ms <= received_ms + FUTURE_TOLERANCE_MS
        and (ids.encode().isalnum() or are_ids(event_id, user_id, video_id, request_id))
    ):
        return Interaction(
            event_id, user_id, video_id, event_type, details, occurred_ms, received_ms, request_id
        )
    return parse_strictly(value, received_ms)


def parse_strictly(value: bytes, received_ms: int, event_type: str | None = None) -> Interaction:
    """The rules of `parse_event`, one after the other; the first that is broken gives the reason."""
    if len(value) > MAX_EVENT_BYTES:
        raise InvalidEventError(
            "too_large", f"an event of {len(value)} bytes; at most {MAX_EVENT_BYTES} are taken"
        )
    try:
        wire = _decoder.decode(value)
    except msgspec.ValidationError as error:
        raise InvalidEventError("schema", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEventError("malformed", f"not JSON: {error}") from None
    interaction = _check_event(wire, received_ms, event_type)
    if _repeats_a_name(value, wire):
        raise InvalidEventError("malformed", "a name stands twice in one JSON object")
    return interaction


def _check_event(wire: EventDocument, received_ms: int, only_type: str | None) -> Interaction:
    """The rules that types alone do not say: ids, details by event type, time."""
    event_type = only_type if wire.event_type is msgspec.UNSET else wire.event_type
    if event_type is None:
        raise InvalidEventError("schema", "Object missing required field `event_type`")
    if only_type is not None and event_type != only_type:
        raise InvalidEventError("schema", f"event_type {event_type[:40]!r} in a topic of {only_type}")
    interaction = Interaction(
        event_id=_or_none(wire.event_id),
        user_id=wire.user_id,
        video_id=_or_none(wire.video_id),
        event_type=event_type,
        details={} if wire.details is msgspec.UNSET else wire.details,
        occurred_ms=_occurred_ms(wire.timestamp, received_ms),
        received_ms=received_ms,
        request_id=_or_none(wire.request_id),
    )
    _check_details(interaction.event_type, interaction.details)
    _check_ids(interaction)
    return interaction


def _or_none(field: str | msgspec.UnsetType | None) -> str | None:
    return None if field is msgspec.UNSET else field


def _occurred_ms(timestamp: str, received_ms: int) -> int:
    try:
        occurred_ms = parse_ms(timestamp)
    except InvalidInputError as error:
        raise InvalidEventError("time", str(error)) from None
    if not 0 <= occurred_ms <= received_ms + FUTURE_TOLERANCE_MS:
        raise InvalidEventError("time", f"timestamp {timestamp!r} lies before 1970 or over a day ahead")
    return occurred_ms


def _check_details(event_type: str, details: Details) -> None:
    if event_type not in DETAILS:
        raise InvalidEventError(
            "unknown_type", f"event_type {event_type[:40]!r} is none of {', '.join(DETAILS)}"
        )
    types, optional = DETAILS[event_type]
    for name in details:
        if name not in types:
            raise InvalidEventError("details", f"{event_type}: unknown detail {name[:40]!r}")
    for name, of in types.items():
        if name not in details:
            if name not in optional:
                raise InvalidEventError("details", f"{event_type}: detail {name!r} is missing")
        elif not _is_of(details[name], of):
            shown = repr(details[name])[:60]
            raise InvalidEventError("details", f"{event_type}: detail {name!r} cannot be {shown}")


def _is_of(value: object, of: Any) -> bool:
    try:
        msgspec.convert(value, of)
    except msgspec.ValidationError:
        return False
    return True


def _check_ids(interaction: Interaction) -> None:
    if interaction.video_id is None and interaction.event_type not in WITHOUT_VIDEO:
        raise InvalidEventError("id", f"{interaction.event_type}: video_id is missing")
    try:
        check_id("user_id", interaction.user_id)
        if interaction.video_id is not None:
            check_id("video_id", interaction.video_id)
        if interaction.event_id is not None:
            check_id("event_id", interaction.event_id)
        if interaction.request_id is not None:
            check_id("request_id", interaction.request_id)
    except InvalidInputError as error:
        raise InvalidEventError("id", str(error)) from None


def _repeats_a_name(value: bytes, wire: EventDocument) -> bool:
    """Whether a name stands twice, which JSON allows and every reader resolves in its own way.

    A decoder that keeps the last one hides it, so the quotes are counted: without a backslash two belong to
    each text, and a repeated name leaves more of them than the decoded event has texts.
    """
    if b"\\" in value:
        return _repeats_a_name_escaped(value)
    fields = (wire.user_id, wire.timestamp, wire.event_type, wire.video_id, wire.event_id, wire.request_id)
    texts = sum(1 if field is None else 2 for field in fields if field is not msgspec.UNSET)
    if wire.details is not msgspec.UNSET:
        texts += 1 + len(wire.details) + sum(isinstance(detail, str) for detail in wire.details.values())
    return value.count(b'"') != 2 * texts


def _repeats_a_name_escaped(value: bytes) -> bool:
    repeated = []

    def collect(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        repeated.append(len(found) < len(pairs))
        return found

    try:
        json.loads(value, object_pairs_hook=collect)
    except (ValueError, RecursionError):  # only what a repeated name has hidden can be unreadable here
        return True
    return any(repeated)


_encoder = msgspec.json.Encoder()


def encode_event(interaction: Interaction) -> bytes:
    """The JSON document that `parse_event` reads back as the same interaction."""
    fields = {
        "event_type": interaction.event_type,  # first: whoever decodes by type need not look for it
        "event_id": interaction.event_id,
        "user_id": interaction.user_id,
        "video_id": interaction.video_id,
        "details": interaction.details,
        "timestamp": format_ms(interaction.occurred_ms),
        "request_id": interaction.request_id,
    }
    return _encoder.encode({name: value for name, value in fields.items() if value is not None})
