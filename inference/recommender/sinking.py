"""What was shown lately and not watched sinks: by places, since no scale of scores is common to all bundles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from inference.recommender.bundle import ModelBundle
from inference.recommender.ranking import Ranked

PLACES: Final = 50.0  # what was shown once, just now, gives way to this many others


def sink(model: ModelBundle, ranked: Ranked, shown: Mapping[str, float]) -> Ranked:
    """The same rows, each `PLACES` further down for every time it was shown (decayed counts by video id).

    The scores stay with the places: whatever chooses from the list by score then follows the new order.
    """
    times = np.zeros(len(model.catalogue), np.float32)
    for video_id, count in shown.items():
        row = model.catalogue.row_of.get(video_id)
        if row is not None:
            times[row] = count
    places = np.arange(len(ranked.rows)) + PLACES * times[ranked.rows]
    order = np.argsort(places, kind="stable")
    return Ranked(
        ranked.rows[order], ranked.scores, {name: part[order] for name, part in ranked.parts.items()}
    )


def with_own_scores(ranked: Ranked, before: Ranked) -> Ranked:
    """The rows of `ranked` with the scores that they had in `before`."""
    own = dict(zip(before.rows.tolist(), before.scores.tolist(), strict=True))
    scores = np.array([own[row] for row in ranked.rows.tolist()], np.float32)
    return Ranked(ranked.rows, scores, ranked.parts)
