"""What is watched right now: one-minute windows of the serving store, summed by a thread, never by a request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from core.clock import MINUTE, Clock
from storage.serving_store import TRENDING_REALTIME, ServingStore, scan_all

REFRESH_S: Final = 1.0
# The newest windows still grow; older ones change only when the reader catches up after a stop.
GROWING_MINUTES: Final = 5
WHOLE_EVERY_S: Final = 60.0
STALE_S: Final = 30.0

T = TypeVar("T")


def first_key(minute: int) -> str:
    """The key at which the windows of `minute` (since the epoch) begin: `{minute:010d}:{topic}:{partition}`."""
    return f"{minute:010d}"


def decayed_counts(
    windows: Mapping[str, Mapping[str, float]], now_minute: int, half_life_minutes: float
) -> dict[str, float]:
    """Counts by video, a window's weight halved every `half_life_minutes` of its age."""
    sums: dict[str, float] = {}
    for key, counts in windows.items():
        age = max(0, now_minute - int(key[:10]))
        weight = 0.5 ** (age / half_life_minutes)
        for video_id, count in counts.items():
            sums[video_id] = sums.get(video_id, 0.0) + weight * count
    return sums


class LiveWindow(Generic[T]):
    """`current` is what `convert` made of the newest counts; None until the first successful look."""

    def __init__(
        self,
        store: ServingStore,
        clock: Clock,
        convert: Callable[[Mapping[str, float]], T],
        *,
        minutes: int,
        half_life_minutes: float,
    ) -> None:
        self._store = store
        self._clock = clock
        self._convert = convert
        self._minutes = minutes
        self._half_life = half_life_minutes
        self._windows: dict[str, Mapping[str, float]] = {}
        self._minute = 0
        self._looked_at = float("-inf")
        self._whole_at = float("-inf")
        self.current: T | None = None

    @property
    def stale(self) -> bool:
        """Whether the store has not been readable for half a minute."""
        return time.monotonic() - self._looked_at > STALE_S

    def refresh(self) -> None:
        """Look once; a thread beside the requests does it every `REFRESH_S`.

        Raises:
            DependencyError: the store did not answer; `current` stays.
        """
        now_minute = self._clock.now_ms() // MINUTE
        oldest = now_minute - self._minutes
        whole = time.monotonic() - self._whole_at >= WHOLE_EVERY_S
        found = self._scan(oldest if whole else now_minute - GROWING_MINUTES)
        if whole:
            self._whole_at = time.monotonic()
        windows = {key: counts for key, counts in self._windows.items() if key >= first_key(oldest)}
        windows.update(found)
        if windows != self._windows or now_minute != self._minute or self.current is None:
            self._windows, self._minute = windows, now_minute
            self.current = self._convert(decayed_counts(windows, now_minute, self._half_life))
        self._looked_at = time.monotonic()

    def _scan(self, minute: int) -> dict[str, Mapping[str, float]]:
        found = scan_all(self._store, TRENDING_REALTIME, first_key(minute))
        return {name: document["counts"] for name, document in found}
