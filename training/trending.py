"""Trending, popularity and ratings of every video, from counts alone."""

from __future__ import annotations

from typing import Final

import numpy as np

from core.clock import DAY
from inference.recommender.arrays import Trends
from inference.recommender.features import HALF_LIVES_DAYS
from training.dataset import F32, Dataset

__all__ = ["HALF_LIVES_DAYS", "damped_ratings", "trends"]

PRIOR_RATINGS: Final = 10.0  # a video's mean rating starts from that many at the mean of all


def trends(dataset: Dataset, as_of_ms: int) -> Trends:
    """Decayed counts at every half-life as of `as_of_ms`, counts of all time, and damped mean ratings."""
    count = len(dataset.videos)
    age_days = np.maximum(0, as_of_ms - dataset.at_ms) / DAY
    scores = [np.bincount(dataset.video, np.exp2(-age_days / h), count) for h in HALF_LIVES_DAYS]
    return Trends(
        half_lives_days=np.array(HALF_LIVES_DAYS),
        scores=np.array(scores, np.float32),
        popularity=np.bincount(dataset.video, minlength=count).astype(np.float32),
        rating_mean=damped_ratings(dataset),
    )


def damped_ratings(dataset: Dataset) -> F32:
    """Mean rating per video, pulled to the mean of all where there are few; 0 to 1, whatever the scale."""
    rated = np.isfinite(dataset.value)
    count = len(dataset.videos)
    values = dataset.value[rated].astype(np.float64)
    if not len(values) or values.min() == values.max():
        return np.zeros(count, np.float32)
    unit = (values - values.min()) / (values.max() - values.min())
    sums = np.bincount(dataset.video[rated], unit, count)
    numbers = np.bincount(dataset.video[rated], minlength=count)
    damped = (sums + PRIOR_RATINGS * unit.mean()) / (numbers + PRIOR_RATINGS)
    return np.asarray(damped, np.float32)
