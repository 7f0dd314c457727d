"""Popularity: how many interactions of all time."""

from __future__ import annotations

import numpy as np

from inference.recommender.arrays import F32
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context


def scores(model: ModelBundle, context: Context) -> F32:
    """The logarithm of the count as of the bundle; the same for every viewer."""
    return np.log1p(model.trends.popularity)
