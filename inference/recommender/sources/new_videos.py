"""New videos: added lately and hardly watched yet, so that only their texts can speak for them."""

from __future__ import annotations

import numpy as np

from core.clock import DAY
from inference.recommender.arrays import F32, I32
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context
from inference.recommender.scores import Dense

NEW_FOR_DAYS = 30
HARDLY_WATCHED = 10


def scores(model: ModelBundle, context: Context) -> Dense | None:
    """Cosine of a new video's text with the mean text of the last watched; all alike without any."""
    since = model.as_of_ms - NEW_FOR_DAYS * DAY
    is_new = (model.catalogue.added_ms >= since) & (model.trends.popularity < HARDLY_WATCHED)
    rows = np.flatnonzero(is_new)
    if not len(rows):
        return None
    found = np.zeros(len(model.catalogue), np.float32)
    recent = context.recent
    if not len(recent):
        found[rows] = 1
        return Dense(found)
    found[rows] = np.clip(model.embeddings[rows] @ text_taste(model, recent), 0, None)
    return Dense(found)


def text_taste(model: ModelBundle, rows: I32) -> F32:
    """The direction (d,) of the mean text of these videos, of length 1."""
    mean = model.embeddings[rows].mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)
