"""`/search`, `/videos/{id}/similar` and `/trending` of one version: from a checked query to the list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from core.clock import Clock
from core.errors import NotFoundError
from core.lookup_query import LookupQuery
from inference.query_encoder import QueryEncoder
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import LiveTrending
from inference.recommender.lookups import Listing, near_text, near_video, shown, trending_now


class FoundVideo(msgspec.Struct, frozen=True):
    """One video of a list; `score` is a cosine, or what trending counts."""

    video_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Lookups:
    """What the lookups are made from. `live` says what is watched right now, if that is known."""

    model: ModelBundle
    encoder: QueryEncoder
    live: Callable[[], LiveTrending | None]
    clock: Clock

    def find(self, query: LookupQuery) -> list[FoundVideo]:
        """The videos asked for, the best first.

        Raises:
            InvalidInputError: the genre is unknown.
            NotFoundError: the video is unknown.
            DependencyError: a search, and there is no encoder.
        """
        listing = self._listing(query)
        ids = self.model.catalogue.video_ids
        pairs = zip(listing.rows.tolist(), listing.scores.tolist(), strict=True)
        return [FoundVideo(ids[row], score) for row, score in pairs]

    def _listing(self, query: LookupQuery) -> Listing:
        allowed = shown(self.model, query.genre, query.exclude)
        if query.lookup == "similar":
            return near_video(self.model, self._row(query.video_id), allowed, query.count)
        if query.lookup == "trending":
            return trending_now(self.model, self.live(), self.clock.now_ms(), allowed, query.count)
        return near_text(self.model, self.encoder.encode(query.text), allowed, query.count)

    def _row(self, video_id: str) -> int:
        row = self.model.catalogue.row_of.get(video_id)
        if row is None:
            raise NotFoundError(f"video {video_id!r} is unknown to this version")
        return row
