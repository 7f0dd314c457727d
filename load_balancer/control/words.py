"""Numbers, times and states in the words of a page."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final, NamedTuple

from core.clock import DAY, HOUR, MINUTE, SECOND


class Badge(NamedTuple):
    """`tone` is a class of the style sheet: good, bad, live, warn or quiet."""

    text: str
    tone: str


BADGES: Final = {
    "starting": Badge("Starting", "live"),
    "smoke": Badge("Smoke test", "live"),
    "running": Badge("Running", "live"),
    "paused": Badge("Paused", "warn"),
    "asking": Badge("Needs a person", "warn"),
    "promoting": Badge("Promoting", "good"),
    "shifted": Badge("Promoting", "good"),
    "rolling_back": Badge("Rolling back", "bad"),
    "aborting": Badge("Aborting", "warn"),
    "ending": Badge("Ending undecided", "warn"),
    "invalidating": Badge("Ending invalid", "warn"),
    "promoted": Badge("Promoted", "good"),
    "rolled_back": Badge("Rolled back", "bad"),
    "aborted": Badge("Aborted", "quiet"),
    "inconclusive": Badge("Undecided", "quiet"),
    "invalid": Badge("Invalid", "warn"),
    "refused": Badge("Refused", "quiet"),
}
_OTHER_KINDS: Final = {
    ("install", "promoted"): Badge("Installed", "good"),
    ("rollback", "promoted"): Badge("Main again", "good"),
}


def badge(state: str, kind: str) -> Badge:
    """How a release stands, in one or two words."""
    return _OTHER_KINDS.get((kind, state)) or BADGES.get(state, Badge(state.replace("_", " "), "quiet"))


def percent(part: float, digits: int = 0) -> str:
    """0.1 as `10%`."""
    return f"{100 * part:.{digits}f}%"


def share(part: float) -> str:
    """A part that a plan names, with every digit it has: 0.1 as `10%`, 0.005 as `0.5%`."""
    return f"{round(100 * part, 6):g}%"


def ratio(theta: float) -> str:
    """A log ratio as a change: 0.0488 as `+5.0%`."""
    change = 100 * math.expm1(theta)
    return f"{'+' if change >= 0 else '−'}{abs(change):,.{1 if abs(change) < 100 else 0}f}%"


def change(theta: float) -> str:
    """A log ratio in words: 0.0488 as `5.0% more`."""
    return f"{ratio(theta)[1:]} {'more' if theta >= 0 else 'less'}"


def count(number: float) -> str:
    """12345 as `12,345`."""
    return f"{number:,.0f}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 look`, `2 looks`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def times(log_e: float) -> str:
    """A log e-value as a factor, as far as anybody wants to read it."""
    value = math.exp(min(log_e, 30))
    if value >= 1e6:
        return "over a million"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.1 else "under 0.1"


def duration(ms: int) -> str:
    """The largest two units: `2 h 5 min`, `3 min 10 s`, `40 s`."""
    units = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))
    rest, parts = max(ms, 0), list[str]()
    for size, name in units:
        number, rest = divmod(rest, size)
        if number or (name == "s" and not parts):
            parts.append(f"{number} {name}")
    return " ".join(parts[:2])


def clock_time(ms: int) -> str:
    """`14:05:09`, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M:%S")


def moment(ms: int, now_ms: int) -> str:
    """The time of day, with its day where that is not today's."""
    today = day(ms) == day(now_ms)
    return clock_time(ms) if today else f"{clock_time(ms)} on {day(ms)}"


def day(ms: int) -> str:
    """`31 Jan 2026`, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%-d %b %Y")


def date_time(ms: int) -> str:
    """`31 Jan 2026, 14:05:09 UTC`."""
    return f"{day(ms)}, {clock_time(ms)} UTC"
