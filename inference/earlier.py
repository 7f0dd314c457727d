"""What a viewer was shown before: what `after` leaves out, and what `fresh` lets sink."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from core.clock import MINUTE
from core.errors import NotFoundError
from core.recommend_query import RecommendQuery
from inference.profiles import Profiles, ShownRequest

# At 200 requests a second two minutes, and the reader's documents know within seconds. The videos are counted too,
# because a page remembers those of all pages before it: some 16 MB in all.
REMEMBERED: Final = 20_000
REMEMBERED_VIDEOS: Final = 1_000_000
# Pages of one list: what the reader has of a viewer does not say which request followed which.
TOGETHER_MS: Final = 30 * MINUTE
LONGEST: Final = 2_000  # videos that one chain of pages leaves out


class Remembered:
    """The newest lists that this process made, by request id: so many lists, of so many videos. Thread-safe."""

    def __init__(self, capacity: int = REMEMBERED, videos: int = REMEMBERED_VIDEOS) -> None:
        self._capacity = capacity
        self._most_videos = videos
        self._videos = 0
        # Not a dict: finding its oldest key takes the longer the more have gone before, 14 microseconds here.
        self._lists: OrderedDict[str, tuple[str, tuple[str, ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, request_id: str, user_id: str, video_ids: tuple[str, ...]) -> None:
        with self._lock:
            _, replaced = self._lists.pop(request_id, ("", ()))
            self._lists[request_id] = (user_id, video_ids)
            self._videos += len(video_ids) - len(replaced)
            while len(self._lists) > self._capacity or self._videos > self._most_videos:
                _, (_, forgotten) = self._lists.popitem(last=False)
                self._videos -= len(forgotten)

    def of(self, request_id: str, user_id: str) -> tuple[str, ...] | None:
        """What this viewer's request left out and was given; None if it is not known, or another viewer's."""
        found = self._lists.get(request_id)
        return found[1] if found is not None and found[0] == user_id else None


class Before(NamedTuple):
    """`left_out` are videos not to show again, `sinking` how much each of the others was shown lately."""

    left_out: tuple[str, ...] = ()
    sinking: dict[str, float] = {}  # noqa: RUF012  # a tuple's default, never changed
    in_time: bool = True


NOTHING: Final = Before()


class Earlier:
    """Of this process's own lists, and of the documents that the reader makes of exposures.

    The first are there at once, the second also after a restart and for lists of the other arm.
    """

    def __init__(self, profiles: Profiles, half_life_ms: float) -> None:
        self._profiles = profiles
        self._half_life_ms = half_life_ms
        self._made = Remembered()

    def of(self, query: RecommendQuery, now_ms: int) -> Before:
        """What counts for this request.

        Raises:
            NotFoundError: `after` is no request of this viewer, or none of the last ones.
        """
        if query.after is None and not query.fresh:
            return NOTHING
        read = self._profiles.shown(query.user_id)
        left_out = self._left_out(query, read.requests, read.in_time)
        sinking = decayed(read.requests, now_ms, self._half_life_ms) if query.fresh else {}
        return Before(left_out, sinking, read.in_time)

    def remember(self, request_id: str, user_id: str, before: Before, shown: Iterable[str]) -> None:
        self._made.add(request_id, user_id, (*before.left_out, *shown)[-LONGEST:])

    def _left_out(
        self, query: RecommendQuery, requests: Sequence[ShownRequest], in_time: bool
    ) -> tuple[str, ...]:
        if query.after is None:
            return ()
        made = self._made.of(query.after, query.user_id)
        stored = shown_until(requests, query.after)
        if made is None and stored is None and in_time:
            raise NotFoundError(f"request {query.after!r} of this viewer is not known (any more)")
        return tuple(dict.fromkeys((*(made or ()), *(stored or ()))))


def shown_until(requests: Sequence[ShownRequest], request_id: str) -> tuple[str, ...] | None:
    """What this request showed, and those in the half hour before it; None if it is not among them."""
    at_ms = next((request.served_ms for request in requests if request.request_id == request_id), None)
    if at_ms is None:
        return None
    return tuple(
        video
        for request in requests
        if at_ms - TOGETHER_MS <= request.served_ms <= at_ms
        for video in request.video_ids
    )


def decayed(requests: Iterable[ShownRequest], now_ms: int, half_life_ms: float) -> dict[str, float]:
    """How often each video was shown, a time counting half after every `half_life_ms`."""
    sums: dict[str, float] = {}
    for request in requests:
        weight = 0.5 ** (max(0, now_ms - request.served_ms) / half_life_ms)
        for video in request.video_ids:
            sums[video] = sums.get(video, 0.0) + weight
    return sums
