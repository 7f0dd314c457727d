"""Settings, words and axes of the control plane."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import DAY
from core.errors import InvalidSettingError
from load_balancer.control import words
from load_balancer.control.axes import Scale, decade_ticks, round_ticks, stairs, time_ticks
from load_balancer.control.pages import days
from load_balancer.control.settings import ControlSettings
from storage.releases import ReleaseEvent

TOKEN = "a-token-of-24-characters"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.org", False),
    ],
)
def test_only_loopback_does_without_a_token(host: str, loopback: bool) -> None:
    settings = ControlSettings.load(host=host)
    assert settings.is_loopback is loopback
    if loopback:
        assert settings.secret() == ""
    else:
        with pytest.raises(InvalidSettingError, match="UNDERSTUDY_CONTROL_TOKEN"):
            settings.secret()
        assert ControlSettings.load(host=host, token=TOKEN).secret() == TOKEN


def test_the_token_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert ControlSettings.load(token_file=file).secret() == TOKEN
    for content in ("", "short"):
        file.write_text(content)
        with pytest.raises(InvalidSettingError, match="shorter"):
            ControlSettings.load(token_file=file).secret()
    with pytest.raises(InvalidSettingError, match="UNDERSTUDY_CONTROL_TOKEN_FILE"):
        ControlSettings.load(token_file=tmp_path / "none").secret()
    with pytest.raises(InvalidSettingError, match="not both"):
        ControlSettings.load(token=TOKEN, token_file=file)


def test_a_short_token_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidSettingError) as refused:
        ControlSettings.load(token="hunter2").secret()
    assert "hunter2" not in str(refused.value)


def test_numbers_in_words() -> None:
    assert words.ratio(math.log(1.05)) == "+5.0%"
    assert words.ratio(math.log(0.5)) == "−50.0%"
    assert words.change(math.log(0.97)) == "3.0% less"
    assert words.times(math.log(20)) == "20.0"
    assert words.times(math.log(12_345)) == "12,345"
    assert words.times(1e9) == "over a million"
    assert words.times(-50) == "under 0.1"
    assert words.plural(1, "look") == "1 look"
    assert words.plural(2_000, "look") == "2,000 looks"


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (40_000, "40 s"),
        (190_000, "3 min 10 s"),
        (7_500_000, "2 h 5 min"),
        (3 * DAY, "3 d"),
    ],
)
def test_durations(ms: int, text: str) -> None:
    assert words.duration(ms) == text


@given(st.floats(-1e4, 1e4), st.floats(1e-2, 1e4), st.integers(2, 8))
def test_ticks_lie_on_the_paper_and_are_few(low: float, span: float, most: int) -> None:
    scale = Scale(low, low + span, 250, 14)
    for ticks in (round_ticks(scale, most, "%"), decade_ticks(Scale(-3, 6, 250, 14))):
        assert all(13.9 <= tick.at <= 250.1 for tick in ticks)
    assert len(round_ticks(scale, most)) <= most + 1


@given(st.integers(1_000, 40 * DAY), st.integers(2, 8))
def test_time_ticks_begin_at_the_start(span: int, most: int) -> None:
    ticks = time_ticks(Scale(0, span, 50, 700), most)
    assert ticks[0].label == "start"
    assert len(ticks) <= most + 1


def test_stairs_keep_each_value_until_the_next() -> None:
    assert stairs([(0, 10), (5, 20)], 8) == "M0 10L5 10L5 20L8 20"
    assert stairs([], 8) == ""


def test_decades_in_few_characters() -> None:
    labels = [tick.label for tick in decade_ticks(Scale(-3, 6, 0, 100))]
    assert labels == ["1/1,000", "1/100", "1/10", "1", "10", "100", "1,000", "10⁴", "10⁵", "10⁶"]


@pytest.mark.parametrize(
    ("part", "text"), [(0.005, "0.5%"), (0.025, "2.5%"), (0.07, "7%"), (0.5, "50%"), (0, "0%")]
)
def test_a_share_keeps_its_digits(part: float, text: str) -> None:
    assert words.share(part) == text


def test_a_time_of_another_day_names_the_day() -> None:
    noon = 1_700_049_600_000
    assert words.moment(noon + 5_000, noon) == "12:00:05"
    assert words.moment(noon + DAY, noon) == "12:00:00 on 16 Nov 2023"


def test_the_story_is_told_day_by_day() -> None:
    noon = 1_700_049_600_000
    events = [ReleaseEvent(noon + number * DAY // 2, "note", str(number)) for number in range(4)]
    told = [(day, [line["text"] for line in lines]) for day, lines in days(events)]
    assert told == [("15 Nov 2023", ["0"]), ("16 Nov 2023", ["1", "2"]), ("17 Nov 2023", ["3"])]
    assert days(events)[0][1][0]["iso"] == "2023-11-15T12:00:00.000Z"
