"""EASE (Steck 2019): what the videos watched say together for each other one, its strongest weights only."""

from __future__ import annotations

import numpy as np

from inference.recommender.arrays import F32, I32, I64, Signals
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context
from inference.recommender.scores import Dense

HALF_LIFE = 5.0  # in videos: the fifth last counts half as much as the last


def scores(model: ModelBundle, context: Context) -> Dense | None:
    """The weights of the whole history, summed; below 0 is evidence against."""
    signals = model.signals
    if signals is None or not len(context.history):
        return None
    columns, weights, _ = _weights(signals, context)
    return Dense(np.bincount(columns, weights, len(model.catalogue)).astype(np.float32))


def scores_now(model: ModelBundle, context: Context) -> Dense | None:
    """The same with weights that halve every five videos: what the viewer is up to now."""
    signals = model.signals
    if signals is None or not len(context.history):
        return None
    columns, weights, lengths = _weights(signals, context)
    fading = np.exp2(-np.arange(len(lengths) - 1, -1, -1) / HALF_LIFE)
    weighed = weights * np.repeat(fading, lengths)
    return Dense(np.bincount(columns, weighed, len(model.catalogue)).astype(np.float32))


def _weights(signals: Signals, context: Context) -> tuple[I32, F32, I64]:
    return context.once("ease", lambda: signals.ease.of(context.history))
