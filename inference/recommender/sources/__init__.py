"""Candidate sources: one small module each, all with the same signature.

A source gives every video of the catalogue a score (scores.py): above 0 is evidence in favour, 0 is none, below
is evidence against. Scores of one source compare with each other, not with another source's. None means that
the source has nothing to say about this viewer. Taking the best of each source, and weighing them, is the
caller's work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context
from inference.recommender.scores import Scores
from inference.recommender.sources import (
    alike,
    als,
    content,
    covisitation,
    ease,
    new_videos,
    popularity,
    towers,
    trending,
)

Find = Callable[[ModelBundle, Context], Scores | None]


class Source(NamedTuple):
    """`quota` is how many candidates it may propose to a blend."""

    scores: Find
    quota: int


SOURCES: Final[Mapping[str, Source]] = {
    "content": Source(content.scores, 300),
    "als": Source(als.scores, 200),
    "als_recent": Source(als.recent_scores, 100),
    "ease": Source(ease.scores, 100),
    "ease_now": Source(ease.scores_now, 100),
    "covisitation": Source(covisitation.scores, 100),
    "covisitation_recent": Source(covisitation.recent_scores, 100),
    "near_2d": Source(partial(alike.scores, half_life_days=2.0), 100),
    "near_8d": Source(partial(alike.scores, half_life_days=8.0), 100),
    "near_32d": Source(partial(alike.scores, half_life_days=32.0), 100),
    "near_ever": Source(partial(alike.scores, half_life_days=None), 100),
    "close_8d": Source(partial(alike.scores, half_life_days=8.0, closest=True), 100),
    "trending": Source(trending.scores, 100),
    "new": Source(new_videos.scores, 20),
    "popularity": Source(popularity.scores, 100),
    "towers": Source(towers.scores, 100),
}
