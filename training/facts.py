"""What the ranker is told of each video besides its trends."""

from __future__ import annotations

from typing import Final

import numpy as np

from core.clock import DAY
from inference.recommender.arrays import F32, I64, VideoFacts
from inference.recommender.features import REGULAR_HALF_LIVES_DAYS
from training.dataset import Dataset
from training.history import viewer_order

REGULAR_AFTER: Final = 5  # interactions of a viewer
PRIOR: Final = 5.0  # a video's mean rating starts from that many at the mean of all


def video_facts(dataset: Dataset, as_of_ms: int) -> VideoFacts:
    """The facts as of `as_of_ms`."""
    rating, spread = _ratings(dataset)
    half_lives = np.array(REGULAR_HALF_LIVES_DAYS)
    return VideoFacts(half_lives, _regulars(dataset, as_of_ms), _seen(dataset), rating, spread)


def rating_scale(dataset: Dataset) -> tuple[float, float]:
    """Mean and standard deviation of all ratings; a spread of 0 where they tell nothing."""
    rated = dataset.value[np.isfinite(dataset.value)].astype(np.float64)
    return (float(rated.mean()), float(rated.std())) if len(rated) else (0.0, 0.0)


def _regulars(dataset: Dataset, as_of_ms: int) -> F32:
    order = viewer_order(dataset)
    viewer = dataset.viewer[order]
    place = np.arange(len(order)) - np.searchsorted(viewer, viewer)
    regular = order[place >= REGULAR_AFTER]
    days = np.maximum(0, as_of_ms - dataset.at_ms[regular]) / DAY
    count = len(dataset.videos)
    rows = [np.bincount(dataset.video[regular], np.exp2(-days / h), count) for h in REGULAR_HALF_LIVES_DAYS]
    return np.array(rows, np.float32)


def _seen(dataset: Dataset) -> I64:
    """First, tenth and last time (3, V), -1 where there was none."""
    order = np.argsort(dataset.video, kind="stable")
    times = dataset.at_ms[order]
    starts = np.searchsorted(dataset.video[order], np.arange(len(dataset.videos) + 1))
    counts = np.diff(starts)
    found = np.full((3, len(dataset.videos)), -1, np.int64)
    for row, places in enumerate((starts[:-1], starts[:-1] + 9, starts[1:] - 1)):
        there = (places < starts[1:]) & (counts > 0)
        found[row, there] = times[places[there]]
    return found


def _ratings(dataset: Dataset) -> tuple[F32, F32]:
    mean, spread = rating_scale(dataset)
    count = len(dataset.videos)
    if spread == 0:
        return np.zeros(count, np.float32), np.zeros(count, np.float32)
    standard = np.nan_to_num((dataset.value.astype(np.float64) - mean) / spread)
    watched = np.bincount(dataset.video, minlength=count)
    rating = np.bincount(dataset.video, standard, count) / (watched + PRIOR)
    square = np.bincount(dataset.video, standard**2, count) / np.maximum(watched, 1)
    return rating.astype(np.float32), np.sqrt(np.maximum(square - rating**2, 0)).astype(np.float32)
