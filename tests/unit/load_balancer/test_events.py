"""POST /events: each event is checked by itself, and what is appended is what the reader will accept."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInputError
from core.events import parse_event
from load_balancer.events import MAX_EVENTS, check_events

NOW = 1_800_000_000_000
EVENT = {
    "event_id": "e1",
    "user_id": "u1",
    "video_id": "m1",
    "event_type": "view",
    "details": {"source": "home"},
    "timestamp": "2026-01-31T12:00:00.123Z",
}


def check(value: object):  # type: ignore[no-untyped-def]
    return check_events(json.dumps(value).encode(), NOW)


def test_one_event_or_a_list() -> None:
    assert len(check(EVENT).messages) == 1
    assert len(check([EVENT, {**EVENT, "event_id": "e2"}]).messages) == 2


def test_messages_are_keyed_by_viewer_and_read_back_the_same() -> None:
    checked = check(EVENT)
    (message,) = checked.messages
    assert message.key == "u1"
    assert parse_event(message.value, NOW) == parse_event(json.dumps(EVENT).encode(), NOW)


def test_an_event_without_id_gets_one() -> None:
    without = {key: value for key, value in EVENT.items() if key != "event_id"}
    for given_id in (without, {**EVENT, "event_id": None}):
        first, second = (parse_event(check(given_id).messages[0].value, NOW) for _ in range(2))
        assert first.event_id
        assert first.event_id != second.event_id


def test_wrong_events_are_named_and_the_others_taken() -> None:
    wrong = [
        {**EVENT, "user_id": ""},
        {**EVENT, "event_type": "blink"},
        {**EVENT, "details": {"source": "nowhere"}},
        {**EVENT, "timestamp": "yesterday"},
        {**EVENT, "extra": 1},
        {**EVENT, "details": {"source": "x" * 70_000}},
        7,
        None,
    ]
    checked = check([EVENT, *wrong, EVENT])
    assert len(checked.messages) == 2
    assert [(r.index, r.reason) for r in checked.rejected] == [
        (1, "id"), (2, "unknown_type"), (3, "details"), (4, "time"), (5, "schema"), (6, "too_large"), (7, "schema"),
        (8, "schema"),
    ]  # fmt: skip
    assert checked.receipt.accepted == 2


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"[", b"{", b"[]", b"nonsense", b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"[1,]", b"{} {}", b"\x00",
     b"[" * 100_000, b'{"a":' * 5_000],
)  # fmt: skip
def test_a_body_that_is_no_json_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        check_events(body, NOW)


def test_too_long_a_list_is_refused_as_a_whole() -> None:
    assert len(check([EVENT] * MAX_EVENTS).messages) == MAX_EVENTS
    with pytest.raises(InvalidInputError, match="501"):
        check([EVENT] * (MAX_EVENTS + 1))


@given(st.binary(max_size=300))
def test_no_bytes_crash_it(body: bytes) -> None:
    try:
        checked = check_events(body, NOW)
    except InvalidInputError:
        return
    assert checked.messages or checked.rejected


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*EVENT, "request_id", "x"]), json_values))
def test_no_change_to_a_good_event_crashes_it(changes: dict[str, object]) -> None:
    checked = check([{**EVENT, **changes}])
    assert len(checked.messages) + len(checked.rejected) == 1
    for message in checked.messages:
        parse_event(message.value, NOW)
