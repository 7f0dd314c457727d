"""Viewers of a release that is not really served: their requests and what they watch, as stored rows."""

from __future__ import annotations

import random

from core.events import Interaction
from core.exposures import Exposure
from storage.database import Database
from storage.exposures import LoggedExposure, store_exposures
from storage.interactions import LoggedInteraction, store_interactions

REQUEST_MS = 10
VIEWERS = 1_000


class Viewers:
    """Plays requests into the store, one viewer in ten the canary's; a third of the requests are watched."""

    def __init__(self, database: Database, release_id: str, canary_viewers: int = VIEWERS // 10) -> None:
        self.database = database
        self.release_id = release_id
        self.canary_viewers = canary_viewers
        self.number = 0
        self.random = random.Random(1)

    def play(self, until_ms: int, since_ms: int, watched_by_canary: bool = True) -> None:
        shown, watched = [], []
        for served_ms in range(since_ms, until_ms, REQUEST_MS):
            self.number += 1
            arm = "canary" if self.number * 7 % VIEWERS < self.canary_viewers else "main"
            shown.append(self._exposure(served_ms, arm))
            if self.random.random() < 0.33 and (watched_by_canary or arm == "main"):
                watched.append(self._interaction(served_ms))
        with self.database.begin() as connection:
            store_exposures(connection, shown)
            store_interactions(connection, watched)

    def _exposure(self, served_ms: int, arm: str) -> LoggedExposure:
        exposure = Exposure(
            request_id=f"q{self.number}",
            user_id=f"u{self.number * 7 % VIEWERS}",
            served_ms=served_ms,
            arm_assigned=arm,
            arm_served=arm,
            version="v",
            bundle_digest="d",
            release_id=self.release_id,
            stage=1,
            epoch=2,
            items=("a", "b"),
            latency_ms=3.0 + self.number % 5,
        )
        return LoggedExposure("exposures", 0, self.number, 0, exposure)

    def _interaction(self, served_ms: int) -> LoggedInteraction:
        event = Interaction(
            event_id=None,
            user_id=f"u{self.number * 7 % VIEWERS}",
            video_id="b",
            event_type="progress",
            details={"watch_percentage": 75.0},
            occurred_ms=served_ms,
            received_ms=served_ms + 900,
            request_id=f"q{self.number}" if self.number % 2 else None,
        )
        return LoggedInteraction("interactions", 0, self.number, event)
