"""Directed co-visitation: how strongly watching one video leads to watching another soon after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from core.clock import DAY
from inference.recommender.arrays import F64
from training.dataset import Dataset
from training.history import viewer_order

REACH = 5  # places: pairs further apart in a viewer's history say nothing
HALF_LIFE = 2.0  # places: weight 2^(-(d-1)/2) at distance d
DAMPING = 0.25  # exponent of the target's popularity, so that the list is not popularity again


@dataclass(frozen=True, slots=True)
class CovisitationSettings:
    """`width` entries are kept per video, the strongest. `doubt` is added to each row's sum, so that rows of
    few pairs weigh less. A pair counts half after `half_life_days` (None: never less)."""

    width: int = 300
    doubt: float = 0.0
    half_life_days: float | None = None


def covisitation(dataset: Dataset, settings: CovisitationSettings, as_of_ms: int = 0) -> Any:
    """Scipy's csr_array, V × V float32: row v holds what followed v within five places, damped and summing to 1 before damping."""
    order = viewer_order(dataset)
    viewer, video = dataset.viewer[order], dataset.video[order]
    recency = _recency(dataset, settings, as_of_ms)[order]
    count = len(dataset.videos)
    total: Any = csr_array((count, count), dtype=np.float32)
    for distance in range(1, REACH + 1):
        same = viewer[:-distance] == viewer[distance:]
        first, then = video[:-distance][same], video[distance:][same]
        weights = (2 ** (-(distance - 1) / HALF_LIFE) * recency[distance:][same]).astype(np.float32)
        total = total + csr_array((weights, (first, then)), shape=(count, count))
    popularity = np.maximum(
        np.bincount(video, recency, count), 1 if settings.half_life_days is None else 1e-3
    )
    sums = np.maximum(np.asarray(total.sum(axis=1)).ravel() + settings.doubt, 1e-9)
    pairs = total.tocoo()
    damped = pairs.data / sums[pairs.row] / popularity[pairs.col] ** DAMPING
    table = csr_array((damped.astype(np.float32), (pairs.row, pairs.col)), shape=(count, count))
    return strongest(table, settings.width)


def _recency(dataset: Dataset, settings: CovisitationSettings, as_of_ms: int) -> F64:
    if settings.half_life_days is None:
        return np.ones(len(dataset))
    days = np.maximum(0, as_of_ms - dataset.at_ms) / DAY
    return np.asarray(np.exp2(-days / settings.half_life_days), np.float64)


def strongest(table: Any, width: int) -> Any:
    """The `width` largest entries of each row, columns in order."""
    rows = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    order = np.lexsort((-table.data, rows))
    place = np.arange(len(order)) - table.indptr[rows[order]]
    keep = np.sort(order[place < width])
    kept = csr_array((table.data[keep], (rows[keep], table.indices[keep])), shape=table.shape)
    kept.sort_indices()
    return kept
