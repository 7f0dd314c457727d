"""Believable viewers as pure functions of a random generator: what one visit sends, good events and bad."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from core.clock import DAY, MINUTE
from core.events import Interaction, encode_event
from storage.videos import Video

SESSION_MS: Final = 30 * MINUTE  # a session that ends now began so long ago
GOES_ON: Final = 0.85  # the next position of the list is looked at
STARTS: Final = 0.2  # a video that is looked at is started
FINISHES: Final = 0.6  # a started video is watched to its end
SEARCHES: Final = 0.1  # a session begins with a search
LOOKS_AT_NEW: Final = 0.25  # a new video of the front page is watched
SUBSCRIBES: Final = 0.02  # a video watched leads to a subscription, or to the end of one
LEAVES: Final = 0.2
PUBLISHERS: Final = 200
GENRES: Final = ("Comedy", "Drama", "Thriller", "Documentary")
WORDS: Final = (
    "night",
    "river",
    "machine",
    "summer",
    "ghost",
    "letters",
    "border",
    "garden",
    "signal",
    "winter",
)


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
    rng: random.Random,
    user_id: str,
    shown: Sequence[str],
    request_id: str | None,
    now_ms: int,
    new: Sequence[str] = (),
) -> list[Interaction]:
    """What a viewer does in one session, in order; its event times lie before `now_ms`.

    Args:
        shown: the list that is recommended, and `request_id` the request that it answers.
        new: videos that were added lately, the newest last: the front page names them to everybody.
    """
    done: list[_Action] = [_search(rng)] if rng.random() < SEARCHES else []
    if new and rng.random() < LOOKS_AT_NEW:
        done += _watching(rng, new[-1 - skewed(rng, len(new))], "home", None)
    for video_id in shown:
        if rng.random() < STARTS:
            done += _watching(rng, video_id, "recommendation", request_id)
        if rng.random() > GOES_ON:
            break
    at_ms = now_ms - SESSION_MS
    events: list[Interaction] = []
    for action in done:
        at_ms += rng.randrange(1_000, 2 * MINUTE)
        events.append(_event(rng, user_id, action, min(at_ms, now_ms), now_ms))
    return events


def new_video(rng: random.Random, video_id: str, at_ms: int) -> Video:
    """A video that nobody has seen yet."""
    title = " ".join(rng.sample(WORDS, 2)).capitalize()
    return Video(video_id, title, None, (rng.choice(GENRES),), f"{title}, a simulated video.", at_ms)


def spoil(rng: random.Random, event: bytes) -> bytes:
    """One of the many ways in which an event arrives broken."""
    return rng.choice(_SPOILERS)(event)


def encode(events: Sequence[Interaction]) -> list[bytes]:
    return [encode_event(event) for event in events]


class _Action(NamedTuple):
    """One thing a viewer does, before it has a time."""

    event_type: str
    details: dict[str, Any]
    video_id: str | None = None
    request_id: str | None = None


def _event(rng: random.Random, user_id: str, action: _Action, at_ms: int, now_ms: int) -> Interaction:
    return Interaction(
        event_id=f"sim-{rng.getrandbits(96):024x}",
        user_id=user_id,
        video_id=action.video_id,
        event_type=action.event_type,
        details=action.details,
        occurred_ms=at_ms,
        received_ms=now_ms,
        request_id=action.request_id,
    )


def _search(rng: random.Random) -> _Action:
    return _Action("search", {"query": " ".join(rng.sample(WORDS, rng.randrange(1, 4)))})


def _watching(rng: random.Random, video_id: str, source: str, request_id: str | None) -> list[_Action]:
    told = [_Action(*said, video_id, request_id) for said in _told(rng, source)]
    if rng.random() < SUBSCRIBES:
        leaves = rng.random() < LEAVES
        publisher = {"publisher_id": f"publisher-{skewed(rng, PUBLISHERS)}"}
        told.append(_Action("unsubscribe" if leaves else "subscribe", publisher))
    return told


def _told(rng: random.Random, source: str) -> list[tuple[str, dict[str, Any]]]:
    length_s = rng.randrange(20, 150) * 60
    finished = rng.random() < FINISHES
    share = 100 if finished else rng.randrange(2, 90)
    told: list[tuple[str, dict[str, Any]]] = [("view", {"source": source})]
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
    elif opinion < 0.24:
        told.append(("comment", {"comment_id": f"sim-{rng.getrandbits(64):016x}", "parent_id": None}))
    elif opinion < 0.25:
        told.append(("review", {"text": " ".join(rng.sample(WORDS, 4)), "rating": rng.randrange(1, 6)}))
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
