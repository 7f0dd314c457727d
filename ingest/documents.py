"""The real-time documents as pure functions: documents before, stored rows, documents after.

A document carries the last offset it has applied of each partition, and a row at or before that offset
changes nothing. So rows may be applied again after any crash, and in any split into batches, as long as the
order within a partition is kept.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.clock import DAY, HOUR, MINUTE
from core.events import WATCHED_BY
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

Entry = list[Any]  # [video_id, occurred_ms, value or None], as it stands in the document


@dataclass(frozen=True, slots=True)
class ProfileChange:
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


def trending_key(row: LoggedInteraction) -> str:
    """The window a row is counted in: the minute of its receipt, one document for each partition."""
    return f"{row.interaction.received_ms // MINUTE:010d}:{row.topic}:{row.partition}"


def trending_expires_ms(key: str) -> int:
    """When a window is a day old."""
    return (int(key.partition(":")[0]) + 1) * MINUTE + TRENDING_KEPT_MS


def trends(row: LoggedInteraction) -> bool:
    """Whether a row counts for what is watched right now."""
    event = row.interaction
    return _fresh(row) and event.video_id is not None and event.event_type in TRENDING_BY


def trending_after(before: Mapping[str, Document], rows: Iterable[LoggedInteraction]) -> dict[str, Document]:
    """The trending windows that change, by key; rows as for `profiles_after`."""
    after: dict[str, Document] = {}
    for row in filter(trends, rows):
        key = trending_key(row)
        window = after.get(key) or before.get(key) or {"counts": {}, "offset": -1}
        if row.offset <= window["offset"]:
            continue
        if key not in after:
            window = {"counts": dict(window["counts"]), "offset": window["offset"]}
            after[key] = window
        video_id = row.interaction.video_id
        window["counts"][video_id] = window["counts"].get(video_id, 0) + 1
        window["offset"] = row.offset
    return after


def _fresh(row: LoggedInteraction) -> bool:
    return row.interaction.received_ms - row.interaction.occurred_ms < TRENDING_FRESH_MS


def _change(before: Document | None, rows: list[LoggedInteraction]) -> ProfileChange | None:
    profile, began = _profile(before, rows)
    if profile is None:
        return None
    # Made of the rows up to that one, so that it is the same however the rows come in batches.
    return ProfileChange(profile, None if began is None else _profile(before, rows[: began + 1])[0])


def _profile(before: Document | None, rows: list[LoggedInteraction]) -> tuple[Document | None, int | None]:
    """The profile, None if no row is new to it; and the place of the row with which the newest session began."""
    offsets: dict[str, int] = dict(before["offsets"]) if before else {}
    watched: dict[str, Entry] = {entry[0]: entry for entry in before["watched"]} if before else {}
    unfinished: list[Entry] = before.get("unfinished", []) if before else []
    session_ms: int = before.get("session_ms", 0) if before else 0
    changed, began = False, None
    for number, row in enumerate(rows):
        place = f"{row.topic}:{row.partition}"
        if row.offset <= offsets.get(place, -1):
            continue
        changed = True
        offsets[place] = row.offset
        if row.interaction.event_type in PROGRESS_BY:
            unfinished = _left_off(unfinished, watched, row)
        _watch(watched, row)
        if row.interaction.received_ms - session_ms >= SESSION_MS and _fresh(row):
            session_ms, began = row.interaction.received_ms, number
    if not changed:
        return None, None
    profile: Document = {"watched": sorted(watched.values(), key=_age), "offsets": offsets}
    if unfinished:
        profile["unfinished"] = unfinished
    if session_ms:
        profile["session_ms"] = session_ms
    return profile, began


def _left_off(unfinished: list[Entry], watched: Mapping[str, Entry], row: LoggedInteraction) -> list[Entry]:
    """Where the viewer left off: the newest progress, as a percentage, of each video that is not finished."""
    event = row.interaction
    video_id = str(event.video_id)
    if video_id in watched and event.occurred_ms < watched[video_id][1]:
        return unfinished  # something newer of this video is known
    percentage = 100 if event.event_type == "complete" else event.details.get("watch_percentage")
    if percentage is None:
        return unfinished
    others = [entry for entry in unfinished if entry[0] != video_id]
    if percentage < FINISHED_PERCENTAGE:
        insort(others, [video_id, event.occurred_ms, percentage], key=_age)
    return others[-UNFINISHED_VIDEOS:]


def _watch(watched: dict[str, Entry], row: LoggedInteraction) -> None:
    """One entry a video: the newest time, and the newest value there is."""
    event = row.interaction
    video_id = str(event.video_id)
    newer: Entry = [video_id, event.occurred_ms, _value(event.details)]
    older = watched.get(video_id, newer)
    if event.occurred_ms < older[1]:
        newer, older = older, newer
    watched[video_id] = [video_id, newer[1], older[2] if newer[2] is None else newer[2]]
    if len(watched) > PROFILE_VIDEOS:
        del watched[min(watched.values(), key=_age)[0]]


def _value(details: Mapping[str, Any]) -> float | None:
    """How much the viewer liked or saw: the rating, else the share watched (0 to 1), else nothing."""
    if "rating" in details:
        return float(details["rating"])
    return details["watch_percentage"] / 100 if "watch_percentage" in details else None


def _age(entry: Entry) -> tuple[int, str]:
    # The id breaks ties, so that the order does not depend on how the rows came in batches.
    return entry[1], entry[0]
