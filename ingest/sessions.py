"""Believable viewers as pure functions of a random generator: what one visit sends, good events and bad."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.clock import DAY, MINUTE
from core.events import Interaction, encode_event

GOES_ON: Final = 0.85  # the next position of the list is looked at
STARTS: Final = 0.2  # a video that is looked at is started
FINISHES: Final = 0.6  # a started video is watched to its end


@dataclass(frozen=True, slots=True)
class Viewers:
    """Who comes: `count` viewers, a few of whom come far more often than the rest."""

    count: int

    def draw(self, rng: random.Random) -> str:
        return f"sim-{skewed(rng, self.count)}"


def skewed(rng: random.Random, count: int) -> int:
    """An index below `count`, small ones far more often: density ~ 1 / index, as popularity has it."""
    return min(count - 1, int(math.exp(rng.random() * math.log(count + 1))) - 1)


def day_and_night(at_ms: int, swing: float) -> float:
    """Traffic at an instant relative to the day's mean: 1 + swing in the evening (20:00 UTC), 1 - swing 12 h later."""
    evening = 2 * math.pi * ((at_ms % DAY) / DAY - 20 / 24)
    return 1 + swing * math.cos(evening)


def visit(
    rng: random.Random, user_id: str, shown: Sequence[str], request_id: str | None, now_ms: int
) -> list[Interaction]:
    """What a viewer does with the list it is shown, in order; its event times lie before `now_ms`."""
    events: list[Interaction] = []
    at_ms = now_ms - 30 * MINUTE
    for video_id in shown:
        if rng.random() < STARTS:
            for event_type, details in _watching(rng):
                at_ms += rng.randrange(1_000, 2 * MINUTE)
                events.append(
                    Interaction(
                        event_id=f"sim-{rng.getrandbits(96):024x}",
                        user_id=user_id,
                        video_id=video_id,
                        event_type=event_type,
                        details=details,
                        occurred_ms=min(at_ms, now_ms),
                        received_ms=now_ms,
                        request_id=request_id,
                    )
                )
        if rng.random() > GOES_ON:
            break
    return events


def spoil(rng: random.Random, event: bytes) -> bytes:
    """One of the many ways in which an event arrives broken."""
    return rng.choice(_SPOILERS)(event)


def encode(events: Sequence[Interaction]) -> list[bytes]:
    return [encode_event(event) for event in events]


def _watching(rng: random.Random) -> list[tuple[str, dict[str, Any]]]:
    length_s = rng.randrange(20, 150) * 60
    finished = rng.random() < FINISHES
    share = 100 if finished else rng.randrange(2, 90)
    told: list[tuple[str, dict[str, Any]]] = [("view", {"source": "recommendation"})]
    progress = {"watch_percentage": share, "duration_watched": length_s * share // 100}
    told.append(
        ("complete", {"watch_percentage": 100, "total_duration": length_s})
        if finished
        else ("progress", progress)
    )
    opinion = rng.random()
    if opinion < 0.10:
        told.append(("like", {"like_type": 1}) if finished else ("dislike", {"like_type": -1}))
    elif opinion < 0.20:
        told.append(("rating", {"rating": rng.choice((3, 4, 4, 5)) if finished else rng.choice((1, 2, 3))}))
    elif opinion < 0.22:
        told.append(("share", {"platform": rng.choice(("twitter", "facebook", "link"))}))
    return told


_SPOILERS: Final[tuple[Callable[[bytes], bytes], ...]] = (
    lambda event: event[: len(event) // 2],
    lambda event: b"\xff\xfe" + event,
    lambda event: event.replace(b'"user_id"', b'"user"'),
    lambda event: event.replace(b'Z"', b'"'),
    lambda event: event.replace(b'"event_type":"', b'"event_type":"x'),
    lambda event: event.replace(b"{", b'{"user_id":"somebody",', 1),
    lambda event: event.replace(b'"details":{', b'"details":{"n":NaN,'),
    lambda event: b"",
    lambda event: b"[" * 1_000,
)
