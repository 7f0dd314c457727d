"""Interactions: the event schema of topic `user_interactions`, strict, and its JSON codec.

Everything a viewer's application may send is described here once: the load balancer validates with it
before it answers 202, the reader validates again with it before it persists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from core.clock import DAY, format_ms, parse_ms
from core.errors import InvalidEventError, InvalidInputError
from core.ids import ID_PATTERN, ID_SCHEMA, check_id

TOPIC_INTERACTIONS: Final = "user_interactions"
TOPIC_EXPOSURES: Final = "recommendation_exposures"
TOPIC_DEAD_LETTERS: Final = "dead_letters"

MAX_EVENT_BYTES: Final = 64 * 1024
MAX_TEXT: Final = 10_000
FUTURE_TOLERANCE_MS: Final = DAY
BIGINT_MAX: Final = 2**63 - 1

# Event types after which a video counts as watched: it is not recommended again.
WATCHED_BY: Final = frozenset({"view", "progress", "complete", "like", "dislike", "rating", "review"})

Details = dict[str, Any]


class Interaction(msgspec.Struct, frozen=True, kw_only=True):
    """One event of one viewer, valid by construction (made by `parse_event`).

    `occurred_ms` is the viewer's clock and is used for training; `received_ms` is the server's and is the
    only one that decides an online evaluation. `event_id` is None where the sender gave none.
    """

    event_id: str | None
    user_id: str
    video_id: str | None
    event_type: str
    details: Details
    occurred_ms: int
    received_ms: int
    request_id: str | None = None


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

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """Which values a detail may have, and the same as a JSON schema for those who read about it."""

    allows: Callable[[object], bool]
    schema: Json


def _number(low: float, high: float) -> Check:
    def check(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return low <= value <= high  # false for NaN; the bounds are finite

    return Check(check, {"type": "number", "minimum": low, "maximum": high})


def _one_of(*allowed: object) -> Check:
    return Check(
        lambda value: not isinstance(value, bool) and value in allowed,
        {"enum": list(allowed)},
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT and "\0" not in value


def _is_identifier(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(ID_PATTERN, value))


_text = Check(_is_text, {"type": "string", "maxLength": MAX_TEXT, "pattern": r"^[^\x00]*$"})
_identifier = Check(_is_identifier, ID_SCHEMA)
_identifier_or_none = Check(
    lambda value: value is None or _is_identifier(value), {"anyOf": [ID_SCHEMA, {"type": "null"}]}
)
_seconds = _number(0, BIGINT_MAX)
_percentage = _number(0, 100)

# event type -> (its details, those that may be left out)
DETAILS: Final[dict[str, tuple[dict[str, Check], frozenset[str]]]] = {
    "view": ({"source": _one_of("home", "search", "recommendation")}, frozenset()),
    "progress": (
        {"watch_percentage": _percentage, "duration_watched": _seconds},
        frozenset({"duration_watched"}),
    ),
    "complete": (
        {"watch_percentage": _percentage, "total_duration": _seconds},
        frozenset({"watch_percentage", "total_duration"}),
    ),
    "like": ({"like_type": _one_of(1)}, frozenset({"like_type"})),
    "dislike": ({"like_type": _one_of(-1)}, frozenset({"like_type"})),
    "comment": ({"comment_id": _identifier, "parent_id": _identifier_or_none}, frozenset({"parent_id"})),
    "share": ({"platform": _one_of("twitter", "facebook", "link")}, frozenset()),
    "search": ({"query": _text}, frozenset()),
    "subscribe": ({"publisher_id": _identifier}, frozenset()),
    "unsubscribe": ({"publisher_id": _identifier}, frozenset()),
    "rating": ({"rating": _number(-1e6, 1e6)}, frozenset()),
    "review": ({"text": _text, "rating": _number(-1e6, 1e6)}, frozenset({"rating"})),
}
WITHOUT_VIDEO: Final = frozenset({"search", "subscribe", "unsubscribe"})


def parse_event(value: bytes | memoryview, received_ms: int, event_type: str | None = None) -> Interaction:
    """Decode and validate one event.

    Args:
        value: the JSON document, UTF-8, at most 64 KiB.
        received_ms: the server's receipt time, kept beside the viewer's own.
        event_type: the only type taken, which the event may then leave out (a topic of one type).

    Raises:
        InvalidEventError: with the reason class `too_large`, `malformed`, `schema`, `unknown_type`, `id`,
            `details` or `time`.
    """
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
    if _repeats_a_name(bytes(value), wire):
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
    checks, optional = DETAILS[event_type]
    for name in details:
        if name not in checks:
            raise InvalidEventError("details", f"{event_type}: unknown detail {name[:40]!r}")
    for name, check in checks.items():
        if name not in details:
            if name not in optional:
                raise InvalidEventError("details", f"{event_type}: detail {name!r} is missing")
        elif not check.allows(details[name]):
            shown = repr(details[name])[:60]
            raise InvalidEventError("details", f"{event_type}: detail {name!r} cannot be {shown}")


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
        "event_id": interaction.event_id,
        "user_id": interaction.user_id,
        "video_id": interaction.video_id,
        "event_type": interaction.event_type,
        "details": interaction.details,
        "timestamp": format_ms(interaction.occurred_ms),
        "request_id": interaction.request_id,
    }
    return _encoder.encode({name: value for name, value in fields.items() if value is not None})
