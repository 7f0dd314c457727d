"""Popularity: how many interactions of all time."""

from __future__ import annotations

import numpy as np

from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context
from inference.recommender.scores import Dense


def scores(model: ModelBundle, context: Context) -> Dense:
    """The logarithm of the count as of the bundle; the same for every viewer."""
    return Dense(np.log1p(model.trends.popularity))
