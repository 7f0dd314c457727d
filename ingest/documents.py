"""The real-time documents as pure functions: documents before, stored rows, documents after.

A document carries the last offset it has applied of each partition, and a row at or before that offset
changes nothing. So rows may be applied again after any crash, and in any split into batches, as long as the
order within a partition is kept.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, Final

import msgspec

from core.clock import DAY, HOUR, MINUTE
from core.events import WATCHED_BY, Interaction
from storage.interactions import LoggedInteraction
from storage.serving_store import Document

PROFILE_VIDEOS: Final = 2_000
TRENDING_KEPT_MS: Final = DAY
# An event that reaches us later than this says nothing about now: a backlog, or a data set of the past.
TRENDING_FRESH_MS: Final = HOUR
# One watching is one count: it begins with a view, and progress and completion would count it again.
TRENDING_BY: Final = frozenset({"view", "like", "rating", "review"})

# A session begins with the first thing a viewer does, and again after so long: its lists are then made anew.
SESSION_MS: Final = 30 * MINUTE
FINISHED_PERCENTAGE: Final = 90
UNFINISHED_VIDEOS: Final = 50
PROGRESS_BY: Final = frozenset({"progress", "complete"})

Entry = list[Any]  # [video_id, occurred_ms, rating or None, share or None], as it stands in the document
# The id breaks ties, so that the order does not depend on how the rows came in batches.
_age = itemgetter(1, 0)


class ProfileChange(msgspec.Struct, frozen=True):
    """A profile as it is now, and as it was when the viewer's newest session began, if that is among the rows."""

    profile: Document
    at_session: Document | None


def profiles_after(before: Mapping[str, Document], rows: Iterable[LoggedInteraction]) -> dict[str, Document]:
    """The profile documents that change, by viewer; rows as for `profile_changes`."""
    return {user_id: change.profile for user_id, change in profile_changes(before, rows).items()}


def profile_changes(
    before: Mapping[str, Document], rows: Iterable[LoggedInteraction]
) -> dict[str, ProfileChange]:
    """What becomes of the profiles that change, by viewer.

    Args:
        before: documents of the rows' viewers, where there are any.
        rows: stored interactions, in log order within a partition.
    """
    by_viewer: defaultdict[str, list[LoggedInteraction]] = defaultdict(list)
    for row in rows:
        if row.interaction.event_type in WATCHED_BY and row.interaction.video_id is not None:
            by_viewer[row.interaction.user_id].append(row)
    changed = {user_id: _change(before.get(user_id), mine) for user_id, mine in by_viewer.items()}
    return {user_id: change for user_id, change in changed.items() if change is not None}


def trending_key(minute: int, topic: str, partition: int) -> str:
    """The key of a window: the minute of receipt, one document for each partition."""
    return f"{minute:010d}:{topic}:{partition}"


def trending_expires_ms(key: str) -> int:
    """When a window is a day old."""
    return (int(key.partition(":")[0]) + 1) * MINUTE + TRENDING_KEPT_MS


def trending_rows(rows: Iterable[LoggedInteraction]) -> dict[str, list[LoggedInteraction]]:
    """The rows that count for what is watched right now, by the key of the window they are counted in."""
    by_window: defaultdict[tuple[int, str, int], list[LoggedInteraction]] = defaultdict(list)
    for row in rows:
        event = row.interaction
        if event.event_type in TRENDING_BY and event.video_id is not None and _fresh(event):
            by_window[event.received_ms // MINUTE, row.topic, row.partition].append(row)
    return {trending_key(*window): mine for window, mine in by_window.items()}


def trending_after(
    before: Mapping[str, Document], by_window: Mapping[str, Iterable[LoggedInteraction]]
) -> dict[str, Document]:
    """The trending windows that change, by key; rows as from `trending_rows`, in log order."""
    windows = {key: _window(before.get(key), rows) for key, rows in by_window.items()}
    return {key: window for key, window in windows.items() if window is not None}


def _window(before: Document | None, rows: Iterable[LoggedInteraction]) -> Document | None:
    """The window, None if no row is new to it."""
    counts: dict[str, int] = dict(before["counts"]) if before else {}
    reached = offset = before["offset"] if before else -1
    for row in rows:
        if row.offset > offset:
            offset = row.offset
            video_id = str(row.interaction.video_id)
            counts[video_id] = counts.get(video_id, 0) + 1
    return {"counts": counts, "offset": offset} if offset > reached else None


def _fresh(event: Interaction) -> bool:
    return event.received_ms - event.occurred_ms < TRENDING_FRESH_MS


def _change(before: Document | None, rows: list[LoggedInteraction]) -> ProfileChange | None:
    profile, began = _profile(before, rows)
    if profile is None:
        return None
    # Made of the rows up to that one, so that it is the same however the rows come in batches.
    return ProfileChange(profile, None if began is None else _profile(before, rows[: began + 1])[0])


def _profile(before: Document | None, rows: list[LoggedInteraction]) -> tuple[Document | None, int | None]:
    """The profile, None if no row is new to it; and the place of the row with which the newest session began."""
    offsets: dict[str, int] = dict(before["offsets"]) if before else {}
    watched: list[Entry] = list(before["watched"]) if before else []
    unfinished: list[Entry] = before.get("unfinished", []) if before else []
    session_ms: int = before.get("session_ms", 0) if before else 0
    changed, began = False, None
    for number, row in enumerate(rows):
        event, place = row.interaction, f"{row.topic}:{row.partition}"
        if row.offset <= offsets.get(place, -1):
            continue
        changed = True
        offsets[place] = row.offset
        known = _of_video(watched, event)
        if event.event_type in PROGRESS_BY and (known is None or known[1] <= event.occurred_ms):
            unfinished = _left_off(unfinished, event)
        _watch(watched, known, event)
        if event.received_ms - session_ms >= SESSION_MS and _fresh(event):
            session_ms, began = event.received_ms, number
    if not changed:
        return None, None
    profile: Document = {"watched": watched, "offsets": offsets}
    if unfinished:
        profile["unfinished"] = unfinished
    if session_ms:
        profile["session_ms"] = session_ms
    return profile, began


def _of_video(watched: list[Entry], event: Interaction) -> Entry | None:
    """What is known of the event's video; looked for from the newest on, which events are mostly about."""
    for entry in reversed(watched):
        if entry[0] == event.video_id:
            return entry
    return None


def _left_off(unfinished: list[Entry], event: Interaction) -> list[Entry]:
    """Where the viewer left off: the newest progress, as a percentage, of each video that is not finished."""
    percentage = 100 if event.event_type == "complete" else event.details.get("watch_percentage")
    if percentage is None:
        return unfinished
    others = [entry for entry in unfinished if entry[0] != event.video_id]
    if percentage < FINISHED_PERCENTAGE:
        insort(others, [event.video_id, event.occurred_ms, percentage], key=_age)
    return others[-UNFINISHED_VIDEOS:]


def _watch(watched: list[Entry], known: Entry | None, event: Interaction) -> None:
    """One entry a video, the oldest first: the newest time, and the newest rating and share there are."""
    newer: Entry = [event.video_id, event.occurred_ms, *_values(event.details)]
    if known is not None:
        watched.remove(known)
        older = known if len(known) == len(newer) else _of_either(*known)
        if newer[1] < older[1]:
            newer, older = older, newer
        newer = [
            *newer[:2],
            *(old if new is None else new for new, old in zip(newer[2:], older[2:], strict=True)),
        ]
    insort(watched, newer, key=_age)
    if len(watched) > PROFILE_VIDEOS:
        del watched[0]


def _of_either(video_id: str, occurred_ms: int, value: float | None) -> Entry:
    """An entry of the versions that kept one value: a rating or a share, and above 1 a rating for sure."""
    return [video_id, occurred_ms, value if value is not None and value > 1 else None, None]


def _values(details: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """How much the viewer liked it and how much of it the viewer saw: the rating, and the share watched (0 to 1)."""
    rating, percentage = details.get("rating"), details.get("watch_percentage")
    return None if rating is None else float(rating), None if percentage is None else percentage / 100
