"""Content neighbours: videos whose texts are close to one of the last watched."""

from __future__ import annotations

import numpy as np

from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context
from inference.recommender.scores import Dense


def scores(model: ModelBundle, context: Context) -> Dense | None:
    """Summed cosines to those of the last 50 watched that have a video among their nearest neighbours."""
    recent = context.recent
    if not len(recent):
        return None
    rows = model.neighbours[recent].ravel()
    cosines = np.clip(model.neighbour_scores[recent].ravel(), 0, None)
    there = rows >= 0
    return Dense(np.bincount(rows[there], cosines[there], len(model.catalogue)).astype(np.float32))
