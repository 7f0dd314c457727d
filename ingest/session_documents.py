"""The session documents: what a viewer's front page shows, made of the profile as it was when the session began."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from core.clock import DAY, HOUR
from ingest.documents import ProfileChange
from storage.serving_store import Document

KEPT_MS: Final = 7 * DAY
LENGTH: Final = 20
SEEDS: Final = 10  # the videos watched last: `for_you` is near all of them
ROWS: Final = 3  # of them, as many get a list of their own

Near = Sequence[tuple[str, float]]  # video id and nearness, the nearest first


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the lists are filled from: the videos near a video, and those that trend, the best first."""

    near: Callable[[str], Near]
    trending: Callable[[], Sequence[str]]


EMPTY_SHELF: Final = Shelf(lambda _: (), tuple)


def session_documents(
    changes: Mapping[str, ProfileChange], shelf: Shelf, now_ms: int
) -> dict[int, dict[str, Document]]:
    """The documents of sessions that began, by the time at which they expire, and viewer; none that is over."""
    documents: defaultdict[int, dict[str, Document]] = defaultdict(dict)
    for user_id, change in changes.items():
        profile = change.at_session
        if profile is not None and (expires_ms := session_expires_ms(profile["session_ms"])) > now_ms:
            documents[expires_ms][user_id] = session_document(profile, shelf)
    return documents


def session_expires_ms(began_ms: int) -> int:
    """A week after the session began, at a full hour, so that documents that expire together are written together."""
    return (began_ms // HOUR + 1) * HOUR + KEPT_MS


def session_document(profile: Document, shelf: Shelf) -> Document:
    """The lists of one session. `offsets` are the profile's: how far the events had come when they were made."""
    watched = {entry[0] for entry in profile["watched"]}
    latest = [entry[0] for entry in reversed(profile["watched"][-SEEDS:])]
    near = {video_id: _unwatched(shelf.near(video_id), watched) for video_id in latest}
    return {
        "began_ms": profile["session_ms"],
        "for_you": _for_you(near, watched, shelf),
        "continue_watching": [
            {"video_id": video_id, "watch_percentage": percentage}
            for video_id, _, percentage in reversed(profile.get("unfinished", [])[-LENGTH:])
        ],
        "because_you_watched": [
            {"video_id": video_id, "items": [found for found, _ in listed[:LENGTH]]}
            for video_id, listed in islice(((v, found) for v, found in near.items() if found), ROWS)
        ],
        "offsets": profile["offsets"],
    }


def _unwatched(found: Near, watched: set[str]) -> Near:
    return [(video_id, nearness) for video_id, nearness in found if video_id not in watched]


def _for_you(near: Mapping[str, Near], watched: set[str], shelf: Shelf) -> list[str]:
    """Near to the most of what was watched last; where that does not fill the list, what trends."""
    worth: defaultdict[str, float] = defaultdict(float)
    for video_id, nearness in chain.from_iterable(near.values()):
        worth[video_id] += nearness
    best = sorted(worth, key=lambda video_id: (-worth[video_id], video_id))[:LENGTH]
    if len(best) < LENGTH:
        shown = watched | set(best)
        best += islice(
            (video_id for video_id in shelf.trending() if video_id not in shown), LENGTH - len(best)
        )
    return best
