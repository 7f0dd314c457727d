"""Viewers alike: what those watched lately whose histories are closest to this viewer's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrays import F32, F64, I32, Crowd, Signals
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context

NEAREST = 500  # viewers that count as alike
CLOSEST = 50  # viewers that count as very alike


class Watched(NamedTuple):
    """What the nearest watched lately, the most alike first; the first `close` entries are the closest's."""

    rows: I32
    days: F32
    cosines: F64
    close: int


def scores(
    model: ModelBundle, context: Context, *, half_life_days: float | None, closest: bool = False
) -> F32 | None:
    """Summed cosines of the nearest who watched a video, halved every `half_life_days` since."""
    signals = model.signals
    if signals is None or not len(context.history):
        return None
    found = context.once("alike", lambda: _watched(signals, context))
    part = slice(found.close if closest else None)
    weights: NDArray[np.floating] = found.cosines[part]
    if half_life_days is not None:
        weights = weights * np.exp2(-found.days[part] / np.float32(half_life_days))
    return np.bincount(found.rows[part], weights, len(model.catalogue)).astype(np.float32)


def _watched(signals: Signals, context: Context) -> Watched:
    crowd = signals.crowd
    near, cosines = _nearest(crowd, context.history)
    rows = crowd.recent[near]
    there = rows >= 0
    lengths = there.sum(axis=1)
    days = crowd.recent_days[near][there]
    return Watched(rows[there], days, np.repeat(cosines, lengths), int(lengths[:CLOSEST].sum()))


def _nearest(crowd: Crowd, history: I32) -> tuple[NDArray[np.intp], F64]:
    """The most alike by cosine over histories weighted by rarity (idf), the most alike first."""
    columns, weights, lengths = crowd.watchers.of(history)
    own = crowd.idf[history]
    length = float(np.sqrt(own @ own)) or 1.0
    cosines = np.bincount(columns, weights * np.repeat(own / length, lengths), len(crowd.recent))
    near = np.flatnonzero(cosines > 0)
    if len(near) > NEAREST:
        near = near[np.argpartition(-cosines[near], NEAREST)[:NEAREST]]
    near = near[np.argsort(-cosines[near], kind="stable")]
    return near, np.asarray(cosines[near], np.float64)
