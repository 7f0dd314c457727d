"""Matrix factorisation over the whole catalogue: exact products of factors."""

from __future__ import annotations

import numpy as np

from inference.recommender.arrays import F32, I32, Factors
from inference.recommender.blend import FoldIn
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context
from inference.recommender.scores import Products


def scores(model: ModelBundle, context: Context) -> Products | None:
    """Predicted preference, from the bundle's factor of the viewer or one folded in from fresh history."""
    factors = model.factors
    if factors is None:
        return None
    factor = _viewer_factor(factors, model.blend.als, context)
    return None if factor is None else Products(factors, factor)


def recent_scores(model: ModelBundle, context: Context) -> Products | None:
    """The same with factors of what was watched lately."""
    if model.signals is None or not len(context.history):
        return None
    factors, how = model.signals.factors_recent, model.signals.how
    factor = fold_in(factors, context.history, how.als_recent, context.history_days)
    return Products(factors, factor)


def _viewer_factor(factors: Factors, how: FoldIn | None, context: Context) -> F32 | None:
    profile = context.profile
    if factors.viewers is not None and profile.viewer_row >= 0 and not (profile.fresh and how):
        row: F32 = factors.viewers[profile.viewer_row]
        return row
    if how is None or not len(context.history):
        return None
    return fold_in(factors, context.history, how, context.history_days)


def fold_in(factors: Factors, rows: I32, how: FoldIn, days: F32 | None = None) -> F32:
    """The factor of a viewer who watched `rows`, `days` ago: the same least squares that training solves.

    Hu, Koren, Volinsky (2008), equation 4, with confidence c for what was watched and 1 elsewhere:
    x = (Y'Y + Yw'(C - I)Yw + regularization I)^-1 Yw'C1.
    """
    watched = factors.videos[rows]
    more = np.full(len(rows), how.alpha - 1, np.float32)
    if how.half_life_days is not None and days is not None:
        more *= np.exp2(-days / np.float32(how.half_life_days))
    left = factors.gram + (watched * more[:, None]).T @ watched
    left.flat[:: len(left) + 1] += np.float32(how.regularization)
    return np.asarray(np.linalg.solve(left, (1 + more) @ watched), np.float32)
