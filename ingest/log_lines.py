"""The second parser: plain-text lines as an older web server writes them, one record a line.

`TIME,USER,GET /data/m/VIDEO/MINUTE.mpg` · `TIME,USER,GET /rate/VIDEO=N` ·
`TIME,USER,recommendation request HOST, status N, result: ID, ID, ..., T ms`. TIME is RFC 3339; these lines
are defined to be in UTC, so one without an offset is not a guess here.
"""

from __future__ import annotations

import hashlib
import re

from core.clock import parse_ms
from core.errors import InvalidEventError, InvalidInputError
from core.events import FUTURE_TOLERANCE_MS, MAX_EVENT_BYTES, Interaction
from core.exposures import Exposure
from core.ids import check_id

_DATA = re.compile(r"GET /data/m/([^/]+)/([0-9]{1,5})\.mpg")
_RATE = re.compile(r"GET /rate/([^=/]+)=([0-9]{1,3}(?:\.[0-9]{1,3})?)")
_RECOMMENDATION = re.compile(
    r"recommendation request ([^,]{1,200}), status ([0-9]{3}), result: (.*), ([0-9]{1,9}(?:\.[0-9]{1,9})?) ?ms"
)
_HAS_OFFSET = re.compile(r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})$")
_LINE_END = b"\r\n"
_NO_SECONDS = re.compile(r"[0-9-]{10}[Tt ][0-9]{2}:[0-9]{2}$")


def parse_log_line(value: bytes, received_ms: int) -> Interaction | Exposure:
    """One line as the event or the exposure it reports. Its id is a name of its content: sent twice, it counts once.

    Args:
        value: the line, UTF-8, with or without its line end.
        received_ms: the log's receipt time.

    Raises:
        InvalidEventError: with the reason class `too_large`, `malformed`, `id`, `details` or `time`.
    """
    occurred_ms, user_id, rest = _fields(value, received_ms)
    line_id = f"line-{hashlib.sha256(value.rstrip(_LINE_END)).hexdigest()[:32]}"
    if found := _DATA.fullmatch(rest):
        minute = int(found[2])
        return Interaction(
            event_id=line_id,
            user_id=user_id,
            video_id=_id("video_id", found[1]),
            event_type="progress" if minute else "view",
            # the first minute asked for is a view; a later one is progress, of a length the line does not know
            details={"duration_watched": minute * 60} if minute else {},
            occurred_ms=occurred_ms,
            received_ms=received_ms,
        )
    if found := _RATE.fullmatch(rest):
        return Interaction(
            event_id=line_id,
            user_id=user_id,
            video_id=_id("video_id", found[1]),
            event_type="rating",
            details={"rating": float(found[2])},
            occurred_ms=occurred_ms,
            received_ms=received_ms,
        )
    if found := _RECOMMENDATION.fullmatch(rest):
        return _recommended(user_id, found, occurred_ms, line_id)
    raise InvalidEventError("malformed", f"not a line of a known form: {rest[:60]!r}")


def _fields(value: bytes, received_ms: int) -> tuple[int, str, str]:
    if len(value) > MAX_EVENT_BYTES:
        raise InvalidEventError("too_large", f"a line of {len(value)} bytes; at most {MAX_EVENT_BYTES}")
    try:
        parts = value.decode().rstrip("\r\n").split(",", 2)
    except UnicodeDecodeError as error:
        raise InvalidEventError("malformed", f"not UTF-8: {error}") from None
    if len(parts) != 3:
        raise InvalidEventError("malformed", "not TIME,USER,REQUEST")
    return _occurred_ms(parts[0], received_ms), _id("user_id", parts[1]), parts[2]


def _occurred_ms(text: str, received_ms: int) -> int:
    with_seconds = f"{text}:00" if _NO_SECONDS.fullmatch(text) else text
    try:
        occurred_ms = parse_ms(with_seconds if _HAS_OFFSET.search(with_seconds) else f"{with_seconds}Z")
    except InvalidInputError as error:
        raise InvalidEventError("time", str(error)) from None
    if not 0 <= occurred_ms <= received_ms + FUTURE_TOLERANCE_MS:
        raise InvalidEventError("time", f"time {text[:40]!r} lies before 1970 or over a day ahead")
    return occurred_ms


def _id(kind: str, value: str) -> str:
    try:
        return check_id(kind, value)
    except InvalidInputError as error:
        raise InvalidEventError("id", str(error)) from None


def _recommended(user_id: str, found: re.Match[str], served_ms: int, line_id: str) -> Exposure:
    """What another server showed: kept, but forced, so that it never enters an evaluation of ours."""
    status, result = int(found[2]), found[3]
    items = tuple(_id("video_id", item.strip()) for item in result.split(",")) if status == 200 else ()
    return Exposure(
        request_id=line_id,
        user_id=user_id,
        served_ms=served_ms,
        arm_assigned="main",
        arm_served="main" if status == 200 else "none",
        version="unknown",
        bundle_digest="",
        release_id=None,
        stage=0,
        epoch=0,
        items=items[:1_000],
        latency_ms=float(found[4]),
        outcome="ok" if status == 200 else "error",
        forced=True,
    )
