import pytest

from ingest.limits import DeadLetterLimit, DeadLetterLimitError
from storage.dead_letters import DeadLetter


def letters(count: int) -> list[DeadLetter]:
    return [DeadLetter("t", 0, n, "malformed", "not JSON", b"{", 0) for n in range(count)]


def test_some_dead_letters_pass() -> None:
    limit = DeadLetterLimit(most=10, window=100)
    for _ in range(50):
        limit.admit(100, letters(5))


def test_too_many_at_once_stop_the_reader_and_are_named() -> None:
    with pytest.raises(
        DeadLetterLimitError, match=r"11 of the last 20 .*malformed 11; first t:0:0: not JSON"
    ):
        DeadLetterLimit(most=10, window=100).admit(20, letters(11))


def test_they_add_up_within_the_window_and_are_forgotten_beyond_it() -> None:
    limit = DeadLetterLimit(most=10, window=100)
    limit.admit(50, letters(6))
    limit.admit(50, letters(0))
    limit.admit(50, letters(6))  # the first fifty have left the window
    with pytest.raises(DeadLetterLimitError):
        limit.admit(50, letters(6))


def test_a_limit_of_none_stops_at_the_first() -> None:
    limit = DeadLetterLimit(most=0, window=100)
    limit.admit(1_000, [])
    with pytest.raises(DeadLetterLimitError):
        limit.admit(1, letters(1))
