import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import DAY, format_ms
from core.errors import InvalidEventError
from core.events import DETAILS, Interaction, parse_event, parse_strictly
from core.ids import ID_PATTERN

NOW = 1_800_000_000_000
GOOD_DETAILS: dict[str, dict[str, Any]] = {
    "view": {"source": "home"},
    "progress": {"watch_percentage": 40, "duration_watched": 12.5},
    "complete": {"watch_percentage": 100, "total_duration": 60},
    "like": {"like_type": 1},
    "dislike": {"like_type": -1},
    "comment": {"comment_id": "c1", "parent_id": None},
    "share": {"platform": "link"},
    "search": {"query": "space opera"},
    "subscribe": {"publisher_id": "p1"},
    "unsubscribe": {"publisher_id": "p1"},
    "rating": {"rating": 4.5},
    "review": {"text": "fine", "rating": 4},
}


def event(**changes: Any) -> bytes:
    fields = {
        "user_id": "7",
        "video_id": "42",
        "event_type": "view",
        "details": {"source": "home"},
        "timestamp": format_ms(NOW),
    }
    return json.dumps({**fields, **changes}).encode()


def reason(value: bytes) -> str:
    with pytest.raises(InvalidEventError) as caught:
        parse_event(value, NOW)
    return caught.value.reason


@pytest.mark.parametrize("event_type", GOOD_DETAILS)
def test_every_event_type_is_accepted(event_type: str) -> None:
    parsed = parse_event(event(event_type=event_type, details=GOOD_DETAILS[event_type]), NOW)
    assert (parsed.event_type, parsed.received_ms, parsed.occurred_ms) == (event_type, NOW, NOW)


def test_a_search_needs_no_video_and_a_view_does() -> None:
    assert (
        parse_event(event(event_type="search", video_id=None, details={"query": "x"}), NOW).video_id is None
    )
    assert reason(event(video_id=None)) == "id"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"event_type": "wink"}, "unknown_type"),
        ({"event_type": "rating", "details": {"rating": True}}, "details"),
        ({"event_type": "rating", "details": {"rating": "4"}}, "details"),
        ({"details": {}}, "details"),
        ({"details": {"source": "home", "extra": 1}}, "details"),
        ({"details": {"source": ["home"]}}, "details"),
        ({"details": {"source": {}}}, "details"),
        ({"timestamp": "2026-01-31T12:00:00"}, "time"),
        ({"timestamp": 1_700_000_000}, "schema"),
        ({"timestamp": format_ms(NOW + 2 * 86_400_000)}, "time"),
        ({"user_id": ""}, "id"),
        ({"user_id": "7\n"}, "id"),
        ({"user_id": "٧"}, "id"),
        ({"user_id": "x" * 65}, "id"),
        ({"user_id": "a b"}, "id"),
        ({"video_id": "-a"}, "id"),
        ({"event_id": "a-b c"}, "id"),
        ({"request_id": "_a"}, "id"),
        ({"user_id": 7}, "schema"),
        ({"colour": "red"}, "schema"),
    ],
)
def test_a_broken_rule_is_refused_with_its_reason(changes: dict[str, Any], expected: str) -> None:
    assert reason(event(**changes)) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        event() + b"x",
        b"\xff",
        b"\xef\xbb\xbf" + event(),
        event().decode().encode("utf-16"),
        b"[" * 50_000,
        b'{"a":' * 5_000,
        event().replace(b'"42"', b"NaN"),
        event(event_type="rating", details={"rating": 0}).replace(b" 0}", b" 1e400}"),
        event().replace(b'"42"', b'"\\ud800"'),
    ],
)
def test_what_is_not_an_event_is_refused(value: bytes) -> None:
    assert reason(value) in {"malformed", "schema", "id"}


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_no_bytes_crash_the_parser(value: bytes) -> None:
    with pytest.raises(InvalidEventError):
        parse_event(value, NOW)


@given(
    st.dictionaries(
        st.sampled_from(["user_id", "video_id", "event_type", "details", "timestamp", "event_id"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=9),
            lambda c: st.lists(c) | st.dictionaries(st.text(max_size=5), c),
            max_leaves=20,
        ),
    )
)
def test_no_json_object_crashes_the_parser(changes: dict[str, Any]) -> None:
    try:
        parse_event(event(**changes), NOW)
    except InvalidEventError as error:
        assert error.reason


IDS = st.from_regex(rf"\A{ID_PATTERN}\Z", fullmatch=True)
DOCUMENTS = st.fixed_dictionaries(
    {"user_id": IDS, "event_type": st.sampled_from(sorted(DETAILS))},
    optional={
        "video_id": IDS | st.none(),
        "event_id": IDS | st.just("") | st.none(),
        "request_id": IDS | st.just("é") | st.none(),
        "timestamp": st.integers(-1_000, NOW + 2 * DAY).map(format_ms),
    },
)
NEAR_DETAILS = st.dictionaries(
    st.sampled_from(sorted({name for types, _ in DETAILS.values() for name in types} | {"extra"})),
    st.sampled_from(["home", "link", "c1", 'a "quoted" text', "a\0b", "", None, True])
    | st.sampled_from([-1, 0, 1, 4.5, 100, 101, 2**63 - 1, 2**63, float(2**63), 1e300]),
    max_size=3,
)


def said_by(parse: Callable[[bytes, int], Interaction], value: bytes) -> Interaction | str:
    try:
        return parse(value, NOW)
    except InvalidEventError as error:
        return f"{error.reason}: {error}"


@given(DOCUMENTS, st.booleans(), st.data())
def test_the_quick_way_says_what_the_rules_say(
    document: dict[str, Any], good: bool, data: st.DataObject
) -> None:
    details = GOOD_DETAILS[document["event_type"]] if good else data.draw(NEAR_DETAILS)
    spaced = event(**document, details=details)
    for value in (spaced, json.dumps(json.loads(spaced), separators=(",", ":")).encode()):
        assert said_by(parse_event, value) == said_by(parse_strictly, value)


@pytest.mark.parametrize("event_type", GOOD_DETAILS)
def test_the_quick_way_says_what_the_rules_say_of_every_type(event_type: str) -> None:
    usual = {"event_type": event_type, "details": GOOD_DETAILS[event_type], "event_id": "a-1"}
    for value in (event(**usual), event(**usual, request_id="r1"), event(**usual, request_id=None)):
        assert parse_event(value, NOW) == parse_strictly(value, NOW)


@pytest.mark.parametrize("event_type", GOOD_DETAILS)
def test_no_name_may_stand_twice_in_an_event_of_any_type(event_type: str) -> None:
    fields = {**json.loads(event(event_type=event_type, event_id="e1")), "details": GOOD_DETAILS[event_type]}
    for part in (fields, fields["details"]):
        for name, value in part.items():
            once = json.dumps(part)
            twice = once.replace("{", f"{{{json.dumps(name)}: {json.dumps(value)}, ", 1)
            assert reason(json.dumps(fields).replace(once, twice, 1).encode()) == "malformed"
