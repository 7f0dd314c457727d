"""`POST /events`: one interaction or a list of them, each checked by itself."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from core.errors import InvalidEventError, InvalidInputError
from core.events import encode_event, parse_event
from core.ids import new_id
from storage.event_log import Message

MAX_EVENTS = 500
_WHITESPACE = b" \t\r\n"


class Rejected(msgspec.Struct, frozen=True):
    """Which event of the list was not taken, the class of the reason, and the reason in words."""

    index: int
    reason: str
    message: str


class Receipt(msgspec.Struct, frozen=True):
    """The answer once the event log has acknowledged the accepted ones."""

    accepted: int
    rejected: list[Rejected]


@dataclass(frozen=True, slots=True)
class Checked:
    """What to append, keyed by viewer so that a viewer's events keep their order, and what was refused."""

    messages: list[Message]
    rejected: list[Rejected]

    @property
    def receipt(self) -> Receipt:
        return Receipt(len(self.messages), self.rejected)


_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_one = msgspec.json.Decoder(msgspec.Raw).decode


def check_events(body: bytes, received_ms: int) -> Checked:
    """Split the body into events, check each, give an id to those that have none.

    Raises:
        InvalidInputError: the body as a whole is no JSON object or list of 1 to 500.
    """
    messages: list[Message] = []
    rejected: list[Rejected] = []
    for index, raw in enumerate(_split(body)):
        try:
            event = parse_event(raw, received_ms)
        except InvalidEventError as error:
            rejected.append(Rejected(index, error.reason, str(error)))
            continue
        if event.event_id is None:
            event = msgspec.structs.replace(event, event_id=new_id())
        messages.append(Message(event.user_id, encode_event(event)))
    return Checked(messages, rejected)


def _split(body: bytes) -> list[bytes]:
    try:
        # A list of raw pieces where it begins like one; else the body is one piece, whatever it is.
        is_list = body.lstrip(_WHITESPACE)[:1] == b"["
        raws = _decode_list(body) if is_list else [_decode_one(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(f"the body is not JSON: {error}") from None
    if not 1 <= len(raws) <= MAX_EVENTS:
        raise InvalidInputError(f"a list of {len(raws)} events; from 1 to {MAX_EVENTS} are taken")
    return [bytes(memoryview(raw)) for raw in raws]
