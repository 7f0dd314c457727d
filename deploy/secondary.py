"""Secondary metrics of a release from its rows: likes, minutes, coverage. For its page; they decide nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.crediting import NOBODY, Events, Requests, credit
from deploy.evaluation import ReleasePlan
from deploy.evaluation.secondary import Difference, coverage, difference, winsorised
from deploy.outcome_rows import ExposureColumns, Floats, InteractionColumns, RequestRows, Roster, objects

_LIKES = {"like": 1.0, "dislike": -1.0}
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Coverage:
    """Share of the catalogue expected among equally many places of each arm's lists."""

    main: float
    canary: float


@dataclass(frozen=True, slots=True)
class Secondary:
    """Per matured request; None where there is nothing to compare."""

    likes: Difference | None
    minutes: Difference | None
    coverage: Coverage | None


def secondary(
    plan: ReleasePlan,
    exposures: ExposureColumns,
    interactions: InteractionColumns,
    until_ms: int,
    catalogue: int,
    watched_s: Sequence[float | None] | Floats | None = None,
) -> Secondary:
    """Likes minus dislikes, minutes watched (winsorised at the 99th percentile), and list coverage.

    Args:
        until_ms: as of a look at that time; requests matured by then count.
        catalogue: how many videos there are.
        watched_s: seconds watched by each interaction, None or NaN where it has none. Of several events of
            one request and video the longest counts.
    """
    roster = Roster()
    rows = RequestRows.read(exposures, roster).in_order()
    seconds = (
        np.full(len(interactions.user_id), np.nan) if watched_s is None else np.array(watched_s, np.float64)
    )
    place = _credited(rows, interactions, roster, until_ms, plan)
    final = rows.counted & (rows.served_ms <= until_ms - plan.horizon_ms)
    minutes = winsorised(_minutes(place, interactions, seconds, rows.size)[final])
    likes = _likes(place, interactions, rows.size)[final]
    counted = rows.take(final)
    ones = np.ones(counted.size)
    key = (counted.viewer, counted.stage, counted.canary, ones)
    return Secondary(
        difference("likes minus dislikes", *key, likes),
        difference("minutes watched", *key, minutes) if np.isfinite(seconds).any() else None,
        _coverage(counted, catalogue),
    )


def _credited(
    rows: RequestRows, columns: InteractionColumns, roster: Roster, until_ms: int, plan: ReleasePlan
) -> NDArray[np.int64]:
    """The request of each interaction, -1 for none, too late, or an event id that came before."""
    received = np.asarray(columns.received_ms, np.int64)
    viewer = roster.find(columns.user_id, NOBODY)
    viewer[received > until_ms - plan.ingest_delay_ms] = NOBODY
    viewer[_repeated(columns, received)] = NOBODY
    events = Events(viewer, objects(columns.video_id), objects(columns.request_id), received)
    requests = Requests(rows.key, rows.viewer, rows.served_ms, rows.items)
    return credit(requests, events, plan.window_ms)


def _repeated(columns: InteractionColumns, received: NDArray[np.int64]) -> list[int]:
    seen: set[str] = set()
    repeated = []
    for row in np.argsort(received, kind="stable").tolist() if len(columns.event_id) else ():
        event_id = columns.event_id[row]
        if event_id is not None and event_id in seen:
            repeated.append(row)
        elif event_id is not None:
            seen.add(event_id)
    return repeated


def _likes(place: NDArray[np.int64], columns: InteractionColumns, size: int) -> Floats:
    worth = np.array([_LIKES.get(kind, 0.0) for kind in columns.event_type])
    return np.asarray(np.bincount(place[place >= 0], worth[place >= 0], size), np.float64)


def _minutes(place: NDArray[np.int64], columns: InteractionColumns, seconds: Floats, size: int) -> Floats:
    longest: dict[tuple[int, str | None], float] = {}
    for row in np.flatnonzero((place >= 0) & np.isfinite(seconds)).tolist():
        key = (int(place[row]), columns.video_id[row])
        longest[key] = max(longest.get(key, 0.0), float(seconds[row]))
    minutes = np.zeros(size)
    for (request, _), value in longest.items():
        minutes[request] += value / SECONDS
    return minutes


def _coverage(rows: RequestRows, catalogue: int) -> Coverage | None:
    arms = [_shown(rows.items[rows.canary == canary].tolist()) for canary in (False, True)]
    sample = min(sum(shown) for shown in arms)
    if not sample or not catalogue:
        return None
    main, canary = (coverage(shown, sample, catalogue) for shown in arms)
    return Coverage(main, canary)


def _shown(lists: Sequence[str | Sequence[str]]) -> list[int]:
    """How often each video was shown."""
    counted: Counter[str] = Counter()
    for text, times in Counter(
        items if isinstance(items, str) else json.dumps(items) for items in lists
    ).items():
        for video in json.loads(text):
            counted[video] += times
    return list(counted.values())
