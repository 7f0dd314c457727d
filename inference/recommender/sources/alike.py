"""Viewers alike: what those watched lately whose histories are closest to this viewer's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrays import F32, I32, Crowd
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context
from inference.recommender.largest import largest
from inference.recommender.scores import Dense

NEAREST = 500  # viewers that count as alike
CLOSEST = 50  # viewers that count as very alike


class Watched(NamedTuple):
    """What each of the nearest watched lately (N, L), by row plus 1 (0: nothing); the closest come first.

    `days` (N, L) is how long ago, `cosines` (N, 1) how alike.
    """

    places: NDArray[np.intp]
    days: F32
    cosines: F32


def scores(
    model: ModelBundle, context: Context, *, half_life_days: float | None, closest: bool = False
) -> Dense | None:
    """Summed cosines of the nearest who watched a video, halved every `half_life_days` since."""
    signals = model.signals
    if signals is None or not len(context.history):
        return None
    found = context.once("alike", lambda: _watched(signals.crowd, context.history))
    part = slice(CLOSEST if closest else None)
    days, cosines = found.days[part], found.cosines[part]
    weights = (
        cosines.repeat(days.shape[1])
        if half_life_days is None
        else (cosines * np.exp2(days * np.float32(-1 / half_life_days))).ravel()
    )
    summed = np.bincount(found.places[part].ravel(), weights, len(model.catalogue) + 1)
    return Dense(summed[1:].astype(np.float32))


def _watched(crowd: Crowd, history: I32) -> Watched:
    near, cosines = _nearest(crowd, history)
    places = np.add(crowd.recent.take(near, axis=0), 1, dtype=np.intp)
    return Watched(places, crowd.recent_days.take(near, axis=0), cosines[:, None])


def _nearest(crowd: Crowd, history: I32) -> tuple[NDArray[np.intp], F32]:
    """The most alike by cosine over histories weighted by rarity (idf), the `CLOSEST` first."""
    columns, weights, lengths = crowd.watchers.of(history)
    own = crowd.idf[history]
    length = float(np.sqrt(own @ own)) or 1.0
    weighed = weights * (own / length).repeat(lengths)
    cosines = np.bincount(columns, weighed, len(crowd.recent)).astype(np.float32)
    near = largest(cosines, NEAREST)
    if len(near) > CLOSEST:
        near = near[(-cosines[near]).argpartition(CLOSEST)]
    return near, cosines[near]
