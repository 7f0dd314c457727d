"""The shelf of the reader's process: neighbours from the bundle that plays main, and the last hour's trending."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.clock import HOUR, MINUTE, Clock
from core.errors import InvalidBundleError
from core.traffic import Upstream
from ingest.documents import PROFILE_VIDEOS
from ingest.session_documents import LENGTH, Near, Shelf
from storage.arrays import read_npy
from storage.bundles import open_bundle
from storage.database import Database
from storage.releases import current_plan
from storage.serving_store import TRENDING_REALTIME, ServingStore

_log = logging.getLogger(__name__)

LOOK_EVERY_MS: Final = MINUTE
WINDOWS: Final = 10_000
TRENDING_KEPT: Final = PROFILE_VIDEOS + LENGTH  # so many that a list can be filled whatever was watched


class _Videos(msgspec.Struct):
    """Of `videos.json`, the ids alone."""

    video_id: list[str]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The neighbour table of one bundle: `rows` int32 (V, n), padded with -1, `scores` float32 (V, n)."""

    video_ids: tuple[str, ...] = ()
    rows: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 0), np.int32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    row_of: dict[str, int] = field(default_factory=dict)

    def near(self, video_id: str) -> Near:
        """The nearest others, the nearest first; none for a video the bundle does not know."""
        row = self.row_of.get(video_id)
        if row is None:
            return ()
        pairs = zip(self.rows[row].tolist(), self.scores[row].tolist(), strict=True)
        return [(self.video_ids[other], score) for other, score in pairs if other >= 0]


def read_neighbours(bundle: Path, digest: str) -> Neighbours:
    """The table of a published bundle, every file of it verified.

    Raises:
        InvalidBundleError: it is not there, not the one asked for, or damaged.
    """
    open_bundle(bundle, digest)
    try:
        ids = msgspec.json.decode((bundle / "videos.json").read_bytes(), type=_Videos).video_id
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidBundleError(f"{bundle}: file 'videos.json' cannot be read: {error}") from None
    shape = (len(ids), None)
    rows: Any = read_npy(bundle / "neighbours.npy", "<i4", shape)
    scores: Any = read_npy(bundle / "neighbour_scores.npy", "<f4", shape)
    return Neighbours(tuple(ids), rows, scores, {video_id: row for row, video_id in enumerate(ids)})


class LiveShelf:
    """Looks again after a minute at which bundle plays main, and at what trends. For one thread."""

    def __init__(self, database: Database, serving_store: ServingStore, bundles: Path, clock: Clock) -> None:
        self._database = database
        self._serving_store = serving_store
        self._bundles = bundles
        self._clock = clock
        self._neighbours = Neighbours()
        self._main: Upstream | None = None
        self._trending: tuple[str, ...] = ()
        self._neighbours_due_ms = self._trending_due_ms = 0

    def shelf(self) -> Shelf:
        return Shelf(self.near, self.trending)

    def near(self, video_id: str) -> Near:
        """Raises DependencyError."""
        if self._clock.now_ms() >= self._neighbours_due_ms:
            self._look_at_main()
            self._neighbours_due_ms = self._clock.now_ms() + LOOK_EVERY_MS
        return self._neighbours.near(video_id)

    def trending(self) -> tuple[str, ...]:
        """Raises DependencyError."""
        if self._clock.now_ms() >= self._trending_due_ms:
            self._trending = self._count()
            self._trending_due_ms = self._clock.now_ms() + LOOK_EVERY_MS
        return self._trending

    def _look_at_main(self) -> None:
        with self._database.read() as connection:
            plan = current_plan(connection)
        if plan is None or plan.main == self._main:
            return
        self._main = plan.main
        try:
            self._neighbours = read_neighbours(self._bundles / plan.main.version, plan.main.bundle_digest)
        except InvalidBundleError as error:
            # The lists are then shorter, and the reader reads on: its first duty is to store.
            _log.warning("session documents are made without neighbours: %s", error)
            self._neighbours = Neighbours()

    def _count(self) -> tuple[str, ...]:
        first_key = f"{(self._clock.now_ms() - HOUR) // MINUTE:010d}"
        counts: Counter[str] = Counter()
        for _, window in self._serving_store.scan(TRENDING_REALTIME, first_key, WINDOWS):
            counts.update(window["counts"])
        ordered = sorted(counts, key=lambda video_id: (-counts[video_id], video_id))
        return tuple(ordered[:TRENDING_KEPT])
