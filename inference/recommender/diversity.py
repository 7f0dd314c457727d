"""Lists that are less of one kind: maximal marginal relevance over the embeddings, and places for cold videos."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrays import F32, I32
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context
from inference.recommender.ranking import Ranked
from inference.recommender.sources import content

LOOK_AT: Final = 4  # candidates looked at for each place of the list
COLD_BELOW: Final = 10  # a video with fewer interactions is cold
LONGEST: Final = 1.001  # a cosine of vectors that are of length 1 but for rounding


def diversify(model: ModelBundle, ranked: Ranked, count: int) -> Ranked:
    """The `count` that the bundle's `diversity` and `cold_share` choose from a longer ranked list.

    The best stays first. Scores and parts stay what the ranker said, so they need not fall along the list.
    """
    how = model.blend
    places = np.arange(min(count, len(ranked.rows)), dtype=np.int32)
    if how.diversity > 0 and len(ranked.rows) > 1:
        relevance = _relevance(ranked.scores[: LOOK_AT * count])
        near = within_reach(relevance, how.diversity, len(places))
        vectors = model.embeddings[ranked.rows[near]]
        places = near[marginal_relevance(relevance[near], vectors, how.diversity, len(places))]
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
    popularity = model.trends.popularity
    places = math.floor(model.blend.cold_share * count)
    missing = places - int(np.count_nonzero(popularity[listed] < COLD_BELOW))
    scores = content.scores(model, context) if missing > 0 else None
    if scores is None:
        return np.empty(0, np.int32)
    left = allowed & (popularity < COLD_BELOW)
    left[listed] = False
    rows = scores.best(left, missing)
    return rows[np.argsort(-scores.of(rows), kind="stable")]


def _relevance(scores: F32) -> F32:
    """Between 0 (the lowest) and 1 (the highest)."""
    lowest = scores.min()
    spread = float(scores.max() - lowest)
    return (scores - lowest) / spread if spread > 0 else np.ones(len(scores), np.float32)


def within_reach(relevance: F32, weight: float, count: int) -> I32:
    """Places that can be among the `count` chosen: nothing loses more than `weight`, the whole of a cosine of 1.

    So what lies further than that below the `count`-th finds one of those before it open each time.
    """
    last = np.partition(relevance, len(relevance) - count)[len(relevance) - count]
    return np.flatnonzero(relevance >= last - weight * LONGEST).astype(np.int32)


def marginal_relevance(relevance: F32, vectors: F32, weight: float, count: int) -> I32:
    """Places of `count` candidates, each the best by relevance less `weight` times its closest cosine so far.

    Carbonell and Goldstein (1998). `relevance` is between 0 and 1, `vectors` are of length 1.
    """
    beside = relevance - weight * (vectors @ vectors.T)  # what each is worth beside each other
    value = relevance.copy()
    chosen: list[int] = []
    for _ in range(count):
        best = int(value.argmax())
        chosen.append(best)
        np.minimum(value, beside[best], out=value)
        value[best] = -np.inf
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
