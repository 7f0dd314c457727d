import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import DAY, ManualClock, SystemClock, format_ms, parse_ms
from core.errors import InvalidInputError


@given(st.integers(0, 4_000_000_000_000))
def test_a_formatted_time_reads_back_as_itself(at_ms: int) -> None:
    assert parse_ms(format_ms(at_ms)) == at_ms


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00",
        "1700000000",
        "",
        "2026-02-30T00:00:00Z",
        "2026-01-31",
        "٢٠٢٦-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z\n",
        "2026-01-31T12:00:00+01:60",
        "2026-01-31T24:00:00Z",
    ],
)
def test_a_time_without_offset_or_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_ms(text)


def test_an_offset_is_taken_into_account() -> None:
    assert parse_ms("2026-01-31T13:00:00+01:00") == parse_ms("2026-01-31T12:00:00Z")


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(5)
    clock.sleep(1.5)
    clock.move(DAY)
    assert clock.now_ms() == 5 + 1500 + DAY


def test_the_system_clock_counts_milliseconds_since_1970() -> None:
    assert SystemClock().now_ms() > parse_ms("2024-01-01T00:00:00Z")
