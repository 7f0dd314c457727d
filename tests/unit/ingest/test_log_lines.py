import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import parse_ms
from core.errors import InvalidEventError
from core.events import Interaction
from core.exposures import Exposure
from ingest.log_lines import parse_log_line

RECEIVED = parse_ms("2026-01-31T12:00:30Z")
AT = parse_ms("2026-01-31T12:00:00Z")


def parse(line: str) -> Interaction | Exposure:
    return parse_log_line(line.encode(), RECEIVED)


def test_the_first_minute_of_a_video_is_a_view_and_a_later_one_is_progress() -> None:
    first = parse("2026-01-31T12:00:00,u1,GET /data/m/toy+story/0.mpg".replace("toy+story", "toy_story"))
    later = parse("2026-01-31T12:00:00,u1,GET /data/m/toy_story/12.mpg\n")
    assert isinstance(first, Interaction) and isinstance(later, Interaction)
    assert (first.event_type, first.video_id, first.occurred_ms) == ("view", "toy_story", AT)
    assert (later.event_type, later.details) == ("progress", {"duration_watched": 720})


def test_a_rating_line_is_a_rating() -> None:
    parsed = parse("2026-01-31T12:00:00Z,u1,GET /rate/v2=4")
    assert isinstance(parsed, Interaction)
    assert (parsed.user_id, parsed.video_id, parsed.event_type, parsed.details) == (
        "u1",
        "v2",
        "rating",
        {"rating": 4.0},
    )


def test_a_recommendation_line_is_an_exposure_that_no_evaluation_counts() -> None:
    parsed = parse(
        "2026-01-31T12:00,u1,recommendation request host:8082, status 200, result: v1, v2, v3, 41 ms"
    )
    assert isinstance(parsed, Exposure)
    assert (parsed.items, parsed.latency_ms, parsed.served_ms) == (("v1", "v2", "v3"), 41.0, AT)
    assert (parsed.forced, parsed.release_id) == (True, None)


def test_the_id_of_a_line_is_that_of_its_content() -> None:
    rate, asked = (
        "2026-01-31T12:00:00Z,u1,GET /rate/v2=4",
        "2026-01-31T12:00,u1,recommendation request h, status 200, result: v1, 3 ms",
    )
    once, again, other = parse(rate), parse(f"{rate}\r\n"), parse(rate.replace("=4", "=5"))
    assert isinstance(once, Interaction) and isinstance(again, Interaction) and isinstance(other, Interaction)
    assert once.event_id == again.event_id != other.event_id
    shown = parse(asked)
    assert isinstance(shown, Exposure)
    assert shown == parse(asked) and shown.request_id.startswith("line-")


def test_a_failed_recommendation_shows_nothing() -> None:
    parsed = parse("2026-01-31T12:00:00,u1,recommendation request h, status 500, result: gone, 3 ms")
    assert isinstance(parsed, Exposure)
    assert (parsed.items, parsed.outcome) == ((), "error")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "malformed"),
        ("2026-01-31T12:00:00,u1", "malformed"),
        ("2026-01-31T12:00:00,u1,POST /rate/v2=4", "malformed"),
        ("2026-01-31T12:00:00,u1,GET /rate/v2=4 and more", "malformed"),
        ("2026-01-31T12:00:00,u1,GET /rate/v2=NaN", "malformed"),
        ("2026-01-31T12:00:00,u1,GET /data/m/../0.mpg", "id"),
        ("2026-01-31T12:00:00,,GET /rate/v2=4", "id"),
        ("yesterday,u1,GET /rate/v2=4", "time"),
        ("2126-01-31T12:00:00,u1,GET /rate/v2=4", "time"),
        ("2026-01-31T12:00:00,u1,GET /rate/" + "v" * 70_000, "too_large"),
    ],
)
def test_another_line_is_refused_with_its_reason(line: str, reason: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        parse(line)
    assert caught.value.reason == reason


@given(st.binary(max_size=200) | st.text("0123456789-T:,u GET/ratedm=.pg", max_size=80).map(str.encode))
def test_no_line_crashes_the_parser(line: bytes) -> None:
    try:
        parse_log_line(line, RECEIVED)
    except InvalidEventError as error:
        assert error.reason
