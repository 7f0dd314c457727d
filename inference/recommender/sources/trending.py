"""Trending: counts that halve with age, as of the bundle, plus what is watched right now."""

from __future__ import annotations

import numpy as np

from core.clock import DAY
from inference.recommender.arrays import F32
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context
from inference.recommender.scores import Dense


def scores(model: ModelBundle, context: Context) -> Dense:
    """Decayed counts at the blend's half-life; the bundle's part has aged since, the live part is new."""
    trends, half_life = model.trends, model.blend.half_life_days
    nearest = int(np.abs(np.log(trends.half_lives_days / half_life)).argmin())
    decayed: F32 = trends.scores[nearest]
    if context.live is None:
        return Dense(decayed)
    age_days = max(0, context.now_ms - model.as_of_ms) / DAY
    fading = np.float32(np.exp2(-age_days / trends.half_lives_days[nearest]))
    return Dense(decayed * fading + context.live.counts)
