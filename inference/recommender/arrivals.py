"""Videos newer than the bundle: only their texts can speak for them, until a bundle is built with them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from inference.recommender.arrays import F32, I32
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Request
from inference.recommender.sources.new_videos import text_taste


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Equally long columns, the newest first: `vectors` (n, d) of length 1 by the bundle's own encoder, `genres`
    in lower case. None of them is in the bundle."""

    video_ids: tuple[str, ...]
    vectors: F32
    genres: tuple[frozenset[str], ...]

    def closest(
        self, model: ModelBundle, request: Request, recent: I32, watched: Collection[str], count: int
    ) -> list[str]:
        """The `count` closest to the mean text of the `recent` rows, or the newest where there are none.

        What the request excludes, what is in `watched` and what is of another genre is left out.
        """
        hidden = {*request.exclude, *watched, request.context_video}
        genre = None if request.genre is None else request.genre.lower()
        rows = [
            row
            for row, video_id in enumerate(self.video_ids)
            if video_id not in hidden and (genre is None or genre in self.genres[row])
        ]
        if len(recent):
            cosines = self.vectors @ text_taste(model, recent)
            rows.sort(key=lambda row: -float(cosines[row]))
        return [self.video_ids[row] for row in rows[:count]]


def nothing_new(dimension: int) -> Arrivals:
    """No arrivals, of vectors of this length."""
    return Arrivals((), np.empty((0, dimension), np.float32), ())
