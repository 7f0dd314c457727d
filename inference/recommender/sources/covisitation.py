"""Directed co-visitation: what others watched soon after what this viewer watched last."""

from __future__ import annotations

import numpy as np

from inference.recommender.arrays import SparseRows
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context
from inference.recommender.scores import Dense

LAST = 10
HALF_LIFE = 3.0  # in videos: the third last counts half as much as the last


def scores(model: ModelBundle, context: Context) -> Dense | None:
    """The rows of the last ten watched, summed with weights that halve every three videos."""
    return _scores(model.covisitation, model, context)


def recent_scores(model: ModelBundle, context: Context) -> Dense | None:
    """The same with pairs that count less the longer ago they were."""
    return _scores(model.signals.covisitation_recent if model.signals else None, model, context)


def _scores(table: SparseRows | None, model: ModelBundle, context: Context) -> Dense | None:
    recent = context.recent[-LAST:]
    if table is None or not len(recent):
        return None
    weights = np.exp2(-np.arange(len(recent) - 1, -1, -1) / HALF_LIFE)
    rows, values, lengths = table.of(recent)
    summed = np.bincount(rows, values * np.repeat(weights, lengths), len(model.catalogue))
    return Dense(summed.astype(np.float32))
