"""Two towers: the learned vector of the viewer's last watched against every video's. Serving needs no torch."""

from __future__ import annotations

import numpy as np

from inference.recommender.arrays import F32, Towers
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context
from inference.recommender.scores import Dense

LAST = 30
HALF_LIFE = 10.0  # in videos: the tenth last counts half as much as the last


def scores(model: ModelBundle, context: Context) -> Dense | None:
    """Products of vectors less the mean over the catalogue; below 0 is evidence against."""
    towers, recent = model.towers, context.recent[-LAST:]
    if towers is None or not len(recent):
        return None
    found = towers.videos @ viewer_vector(towers, recency(len(recent)) @ towers.videos[recent])
    return Dense(np.asarray(found - found.mean(), np.float32))


def recency(watched: int) -> F32:
    """Weights of so many videos, oldest first; their sum is 1."""
    weights = np.exp2(np.arange(1 - watched, 1) / HALF_LIFE)
    return np.asarray(weights / weights.sum(), np.float32)


def viewer_vector(towers: Towers, watched: F32) -> F32:
    """The viewer tower over the weighted mean (D,) of what was watched: one hidden layer, added to its input."""
    hidden = np.maximum(watched @ towers.hidden + towers.hidden_bias, 0)
    return np.asarray(watched + hidden @ towers.out + towers.out_bias, np.float32)
