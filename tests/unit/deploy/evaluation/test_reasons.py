"""Numbers in reasons are written for people."""

from __future__ import annotations

import math

import pytest

from deploy.evaluation.reasons import duration, odds, percent, share


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "less than 0.001"),
        (0.000_4, "less than 0.001"),
        (0.4, "0.4"),
        (11.72, "11.7"),
        (100, "100"),
        (1_234, "1,230"),
        (293_123, "293,000"),
        (999_999, "1 million"),
        (4_321_000, "4.32 million"),
        (2e9, "2 billion"),
        (7.5e14, "750 trillion"),
        (1e40, "10^40"),
    ],
)
def test_odds(value: float, said: str) -> None:
    assert odds(math.log(value) if value else -math.inf) == said


def test_shares_percentages_and_durations() -> None:
    assert [share(value) for value in (0.5, 0.25, 0.01, 0.005, 0.123_4)] == [
        "50%",
        "25%",
        "1%",
        "0.5%",
        "12.3%",
    ]
    assert percent(math.log(0.97)) == "-3.0%"
    assert [duration(ms) for ms in (90_000, 45 * 60_000, 26 * 3_600_000)] == ["90 s", "45 min", "26 h"]
