"""Lists that are less of one kind: maximal marginal relevance over the embeddings, and places for cold videos."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrays import F32, I32
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context
from inference.recommender.ranking import Ranked, best
from inference.recommender.sources import content

LOOK_AT: Final = 4  # candidates looked at for each place of the list
COLD_BELOW: Final = 10  # a video with fewer interactions is cold


def diversify(model: ModelBundle, ranked: Ranked, count: int) -> Ranked:
    """The `count` that the bundle's `diversity` and `cold_share` choose from a longer ranked list.

    The best stays first. Scores and parts stay what the ranker said, so they need not fall along the list.
    """
    how = model.blend
    places = np.arange(min(count, len(ranked.rows)), dtype=np.int32)
    if how.diversity > 0 and len(ranked.rows) > 1:
        head = min(LOOK_AT * count, len(ranked.rows))
        places = marginal_relevance(
            ranked.scores[:head], model.embeddings[ranked.rows[:head]], how.diversity, len(places)
        )
    cold = model.trends.popularity[ranked.rows] < COLD_BELOW
    places = with_cold(places, cold, math.floor(how.cold_share * len(places)))
    parts = {name: part[places] for name, part in ranked.parts.items()}
    return Ranked(ranked.rows[places], ranked.scores[places], parts)


def closest_cold(
    model: ModelBundle, context: Context, allowed: NDArray[np.bool_], listed: I32, count: int
) -> I32:
    """The cold videos that a list of `count` still needs, the closest in content to the last watched first.

    Empty where the candidates in `listed` are enough. Neighbours alone are looked at: comparing every cold video
    with the viewer's taste would cost more than all else.
    """
    cold = model.trends.popularity < COLD_BELOW
    missing = math.floor(model.blend.cold_share * count) - int(cold[listed].sum())
    scores = content.scores(model, context) if missing > 0 else None
    if scores is None:
        return np.empty(0, np.int32)
    left = allowed & cold
    left[listed] = False
    rows = best(scores, left, missing)
    return rows[np.argsort(-scores[rows], kind="stable")]


def marginal_relevance(scores: F32, vectors: F32, weight: float, count: int) -> I32:
    """Places of `count` candidates, each the best by relevance less `weight` times its closest cosine so far.

    Carbonell and Goldstein (1998). Relevance is the score between 0 (the last looked at) and 1 (the first).
    """
    spread = float(scores.max() - scores.min())
    value = (scores - scores.min()) / spread if spread > 0 else np.ones(len(scores), np.float32)
    cosines = vectors @ vectors.T
    closest = np.zeros(len(scores), np.float32)
    open_ = np.ones(len(scores), np.bool_)
    chosen: list[int] = []
    for _ in range(count):
        best = int(np.argmax(np.where(open_, value - weight * closest, -np.inf)))
        chosen.append(best)
        open_[best] = False
        closest = np.maximum(closest, cosines[best])
    return np.array(chosen, np.int32)


def with_cold(places: I32, cold: NDArray[np.bool_], wanted: int) -> I32:
    """The places with at least `wanted` cold ones among them: the last warm ones give way to the best cold."""
    missing = wanted - int(cold[places].sum())
    if missing <= 0:
        return places
    others = np.setdiff1d(np.flatnonzero(cold), places)[:missing]
    warm = np.flatnonzero(~cold[places])[::-1][: len(others)]
    changed = places.copy()
    changed[np.sort(warm)] = others[: len(warm)]
    return changed
