"""E1 to E23 of the list of bad events: each ends as a dead letter with its reason, and none as an exception."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import DAY, format_ms
from core.events import parse_event
from ingest.parsing import Tombstone, parse_record
from ingest.topics import EVENTS
from storage.dead_letters import DeadLetter
from storage.event_log import Record
from storage.interactions import LoggedInteraction
from tests.ingest_support import NOW, event, message

GOOD = message(event(1)).value


def text_of(event_type: str, details: str, **fields: Any) -> bytes:
    rest = {"event_id": "e1", "user_id": "u1", "video_id": "v1", "timestamp": format_ms(NOW), **fields}
    return (
        json.dumps({"event_type": event_type, "details": 0, **rest})
        .replace('"details": 0', f'"details": {details}')
        .encode()
    )


def rating(value: str) -> bytes:
    return text_of("rating", f'{{"rating": {value}}}')


def search(value: str) -> bytes:
    return text_of("search", f'{{"query": {value}}}', video_id=None)


def at(timestamp: object) -> bytes:
    return text_of("rating", '{"rating": 4}', timestamp=timestamp)


BAD = {
    "E1 100,000 nested brackets": (b"[" * 100_000, "too_large"),
    "E1 nested brackets within the size": (rating("[" * 30_000 + "]" * 30_000), "malformed"),
    "E2 5,000 nested objects": (rating('{"a":' * 5_000 + "1" + "}" * 5_000), "malformed"),
    "E3 5,000-digit integer": (rating("9" * 5_000), "schema"),
    "E4 NaN": (rating("NaN"), "malformed"),
    "E5 Infinity": (rating("-Infinity"), "malformed"),
    "E6 1e400": (rating("1e400"), "schema"),
    "E7 lone surrogate, escaped": (search(r'"\ud800"'), "malformed"),
    "E7 lone surrogate, low": (search(r'"\udc00"'), "malformed"),
    "E7 lone surrogate, raw": (search('"X"').replace(b"X", b"\xed\xa0\x80"), "malformed"),
    "E8 bad UTF-8": (search('"X"').replace(b"X", b"\xff"), "malformed"),
    "E8 overlong UTF-8": (search('"X"').replace(b"X", b"\xc0\x80"), "malformed"),
    "E9 NUL in a text": (search(r'"a\u0000b"'), "details"),
    "E9 NUL in an id": (text_of("rating", '{"rating": 4}', user_id="a\0"), "id"),
    "E9 NUL in a name": (text_of("rating", r'{"rating": 4, "\u0000": 1}'), "details"),
    "E9 raw NUL": (GOOD + b"\0", "malformed"),
    "E10 byte-order mark": (b"\xef\xbb\xbf" + GOOD, "malformed"),
    "E11 UTF-16": (GOOD.decode().encode("utf-16"), "malformed"),
    "E12 null": (b"null", "schema"),
    "E12 array": (b"[" + GOOD + b"]", "schema"),
    "E12 string": (b'"event"', "schema"),
    "E13 truncated": (GOOD[:-1], "malformed"),
    "E14 trailing bytes": (GOOD + b"{}", "malformed"),
    "E15 rating true": (rating("true"), "details"),
    "E15 rating as text": (rating('"4"'), "details"),
    "E16 duplicate key": (GOOD.replace(b"{", b'{"user_id":"u9",', 1), "malformed"),
    "E16 duplicate key, escaped": (GOOD.replace(b"{", b'{"user\\u005fid":"u9",', 1), "malformed"),
    "E16 duplicate detail": (rating('4, "rating": 5'), "malformed"),
    "E16 duplicate details": (GOOD.replace(b"{", b'{"details":{"rating":1},', 1), "malformed"),
    "E16 duplicate null": (GOOD.replace(b"{", b'{"request_id":null,"request_id":null,', 1), "malformed"),
    "E17 naive time": (at("2026-01-31T12:00:00"), "time"),
    "E17 epoch": (at(1_700_000_000), "schema"),
    "E17 epoch as text": (at("1700000000"), "time"),
    "E17 far future": (at(format_ms(NOW + 2 * DAY)), "time"),
    "E17 before 1970": (at("1969-12-31T23:59:59Z"), "time"),
    "E17 no such day": (at("2026-02-30T00:00:00Z"), "time"),
    "E18 unknown type": (text_of("wink", "{}"), "unknown_type"),
    "E21 900 KB value": (search(json.dumps("x" * 900_000)), "too_large"),
    "E22 number over bigint": (
        text_of("progress", f'{{"watch_percentage": 1, "duration_watched": {2**63}}}'),
        "details",
    ),
    "E22 number over any integer": (
        text_of("progress", f'{{"watch_percentage": 1, "duration_watched": {2**70}}}'),
        "details",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_event_is_a_dead_letter_with_its_reason(name: str) -> None:
    value, reason = BAD[name]
    parsed = parse_record(Record("t", 0, 0, NOW, None, value), EVENTS)
    assert isinstance(parsed, DeadLetter)
    assert (parsed.reason, parsed.value) == (reason, value)
    assert 0 < len(parsed.message) <= 1_000


def test_e19_a_search_needs_no_video() -> None:
    assert parse_event(search('"space"'), NOW).video_id is None


def test_e20_a_tombstone_is_no_dead_letter() -> None:
    assert isinstance(parse_record(Record("t", 0, 0, NOW, "k", None), EVENTS), Tombstone)


def test_quotes_and_backslashes_in_texts_are_not_taken_for_repeated_names() -> None:
    for query in ('say "hi"', "back\\slash", '","user_id":"', "ünïcode ✓", "\\u0041"):
        assert parse_event(search(json.dumps(query)), NOW).details == {"query": query}


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=0, max_size=6), st.integers(0, 6))
def test_no_mutation_of_an_event_escapes(at_byte: int, put: bytes, drop: int) -> None:
    mutated = GOOD[:at_byte] + put + GOOD[at_byte + drop :]
    parsed = parse_record(Record("t", 0, 0, NOW, None, mutated), EVENTS)
    assert isinstance(parsed, DeadLetter | LoggedInteraction)


@given(
    st.sampled_from(["user_id", "video_id", "event_id", "timestamp", "details", "event_type", "request_id"])
)
def test_every_repeated_name_is_refused(name: str) -> None:
    fields = {**json.loads(GOOD), "request_id": "r1"}
    value = json.dumps(fields).replace("{", f"{{{json.dumps(name)}: {json.dumps(fields[name])}, ", 1).encode()
    assert isinstance(parse_record(Record("t", 0, 0, NOW, None, value), EVENTS), DeadLetter)
